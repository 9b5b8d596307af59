//! Tokens of an answer, and how each dialect tells them.

use serde::Serialize;

/// As the vendor reports them: Anthropic's input leaves cached tokens out, OpenAI's has them in it.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write_5m: u64,
    pub(super) cache_write_1h: u64,
    /// Part of the output.
    pub(super) reasoning: u64,
    pub(super) searches: u64,
}

impl Usage {
    pub(super) fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write_5m += other.cache_write_5m;
        self.cache_write_1h += other.cache_write_1h;
        self.reasoning += other.reasoning;
        self.searches += other.searches;
    }

    /// Of a message, or of its start with the few tokens that a vendor has then.
    pub(super) fn of_message(&self, output: u64) -> String {
        let Self { input, cache_read, cache_write_5m, cache_write_1h, searches, .. } = self;
        let written = cache_write_5m + cache_write_1h;
        let server_tools = match searches {
            0 => String::new(),
            count => format!(r#","server_tool_use":{{"web_search_requests":{count}}}"#),
        };
        format!(
            concat!(
                r#"{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"#,
                r#""cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},"#,
                r#""output_tokens":{},"service_tier":"standard"{}}}"#
            ),
            input, written, cache_read, cache_write_5m, cache_write_1h, output, server_tools
        )
    }

    /// Of a message's end: cumulative, without what its start has told in detail.
    pub(super) fn of_message_end(&self) -> String {
        let Self { input, output, cache_read, cache_write_5m, cache_write_1h, searches, .. } = self;
        let written = cache_write_5m + cache_write_1h;
        let server_tools = match searches {
            0 => String::new(),
            count => format!(r#","server_tool_use":{{"web_search_requests":{count}}}"#),
        };
        format!(
            concat!(
                r#"{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"#,
                r#""output_tokens":{}{}}}"#
            ),
            input, written, cache_read, output, server_tools
        )
    }

    pub(super) fn of_chat(&self) -> String {
        let Self { input, output, cache_read, reasoning, .. } = self;
        format!(
            concat!(
                r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
                r#""prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"#,
                r#""completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"#,
                r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
            ),
            input,
            output,
            input + output,
            cache_read,
            reasoning
        )
    }

    pub(super) fn of_response(&self) -> String {
        let Self { input, output, cache_read, reasoning, .. } = self;
        format!(
            concat!(
                r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"#,
                r#""output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"#,
                r#""total_tokens":{}}}"#
            ),
            input,
            cache_read,
            output,
            reasoning,
            input + output
        )
    }

    pub(super) fn of_embeddings(&self) -> String {
        format!(r#"{{"prompt_tokens":{0},"total_tokens":{0}}}"#, self.input)
    }
}

/// Numbers as no vendor should write them, under every name that is read.
pub(super) const GARBAGE: &str = concat!(
    r#"{"input_tokens":-7,"output_tokens":"many","prompt_tokens":1.5e300,"#,
    r#""completion_tokens":null,"total_tokens":[],"prompt_tokens_details":"none"}"#
);
