//! What a connection says: requests as bytes, one after the other.

use std::io::Write;

use uuid::Uuid;

const MODEL: &str = "claude-3-5-sonnet-20241022";

/// The kinds of traffic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    /// Pre-flight checks over so many tenants.
    Check { tenants: u64 },
    /// Durable holds over so many tenants, never settled.
    Reserve { tenants: u64 },
    /// A durable hold, then its settlement, over so many tenants.
    Pairs { tenants: u64 },
    /// A large limit for each tenant, in order.
    SetEach { tenants: u64 },
    /// One check for each tenant, in order.
    CheckEach { tenants: u64 },
    /// Chat completions of about a thousand tokens, plain or streamed, through a gateway or directly.
    Chat { is_stream: bool },
    /// A chat completion whose stream begins and does not end.
    HangingChat,
}

/// One connection's side of the conversation.
pub(super) struct Speaker {
    script: Script,
    random: Random,
    /// The tenant of the next request in the ordered scripts.
    next: u64,
    step: u64,
    /// A hold that waits for its settlement.
    held: Option<Uuid>,
    body: Vec<u8>,
}

impl Speaker {
    /// `index` of `count` connections: together they walk all tenants in the ordered scripts.
    pub(super) fn new(script: Script, index: u64, count: u64, seed: u64) -> Self {
        let random = Random(seed ^ (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { script, random, next: index, step: count, held: None, body: Vec::new() }
    }

    /// Writes the next request over `out`; false when an ordered script has come to its end.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> bool {
        self.body.clear();
        out.clear();
        // Writing to memory does not fail.
        self.compose(out).unwrap_or(false)
    }

    fn compose(&mut self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        let body = &mut self.body;
        if let Some(id) = self.held.take() {
            write!(body, r#"{{"prompt_tokens":1000,"completion_tokens":480}}"#)?;
            write!(out, "POST /api/v1/reservations/{id}/settle")?;
            return finish(out, body);
        }
        if let Script::Chat { .. } | Script::HangingChat = self.script {
            return self.chat(out);
        }
        let tenant = match self.script {
            Script::Check { tenants } | Script::Reserve { tenants } | Script::Pairs { tenants } => {
                self.random.next() % tenants
            }
            Script::SetEach { tenants } | Script::CheckEach { tenants } => {
                let tenant = self.next;
                if tenant >= tenants {
                    return Ok(false);
                }
                self.next += self.step;
                tenant
            }
            Script::Chat { .. } | Script::HangingChat => return Ok(false),
        };
        match self.script {
            Script::SetEach { .. } => {
                write!(body, r#"{{"tenant_id":"bench-{tenant:06}","model":"{MODEL}""#)?;
                write!(body, r#","monthly_limit_usd":100000000}}"#)?;
                write!(out, "POST /api/ai-budget/set")?;
            }
            Script::Check { .. } | Script::CheckEach { .. } => {
                write!(body, r#"{{"tenant_id":"bench-{tenant:06}","model":"{MODEL}""#)?;
                write!(body, r#","estimated_input_tokens":1000,"estimated_output_tokens":500}}"#)?;
                write!(out, "POST /api/ai-budget/check")?;
            }
            Script::Chat { .. } | Script::HangingChat => return Ok(false),
            Script::Reserve { .. } | Script::Pairs { .. } => {
                let id = self.random.uuid();
                write!(body, r#"{{"request_id":"{id}","tenant_id":"bench-{tenant:06}""#)?;
                write!(body, r#","model":"{MODEL}","estimated_input_tokens":1000"#)?;
                write!(body, r#","estimated_output_tokens":500}}"#)?;
                write!(out, "POST /api/v1/reservations")?;
                if matches!(self.script, Script::Pairs { .. }) {
                    self.held = Some(id);
                }
            }
        }
        finish(out, body)
    }
}

impl Speaker {
    fn chat(&mut self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        let (is_stream, user) = match self.script {
            Script::Chat { is_stream } => (is_stream, "bench"),
            _ => (true, "hang"),
        };
        let body = &mut self.body;
        write!(
            body,
            r#"{{"model":"gpt-4o","max_tokens":500,"stream":{is_stream},"user":"{user}""#
        )?;
        write!(body, r#","messages":[{{"role":"system","content":"You answer briefly."}}"#)?;
        write!(body, r#",{{"role":"user","content":""#)?;
        for number in 0..90 {
            let random = self.random.next() % 1_000;
            write!(body, "Item {number} of the month's bill came to {random} dollars. ")?;
        }
        write!(body, r#""}}]}}"#)?;
        write!(out, "POST /v1/chat/completions")?;
        finish(out, body)
    }
}

fn finish(out: &mut Vec<u8>, body: &[u8]) -> std::io::Result<bool> {
    write!(out, " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")?;
    write!(out, "x-tenant-id: bench\r\ncontent-length: {}\r\n\r\n", body.len())?;
    out.extend_from_slice(body);
    Ok(true)
}

/// SplitMix64: quick, and repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uuid(&mut self) -> Uuid {
        let bytes = (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
