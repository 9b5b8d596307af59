//! Tools that a vendor runs and bills by use.
//!
//! Sources, read on 2026-11-25: Anthropic's
//! [pricing](https://platform.claude.com/docs/en/about-claude/pricing#web-search-tool) ($10 for
//! 1,000 searches) and OpenAI's [pricing](https://platform.openai.com/docs/pricing) ($10 for 1,000
//! web searches, $25 for 1,000 of the preview tool, $2.50 for 1,000 file searches).

use money::Money;

/// A tool with a fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fee {
    /// Anthropic's web search.
    AnthropicWebSearch,
    /// OpenAI's web search.
    OpenAiWebSearch,
    /// OpenAI's web search, the preview version.
    OpenAiWebSearchPreview,
    /// OpenAI's file search.
    OpenAiFileSearch,
}

impl Fee {
    /// What one use costs.
    pub const fn each(self) -> Money {
        let thousandths_of_a_cent: i128 = match self {
            Self::AnthropicWebSearch | Self::OpenAiWebSearch => 1_000,
            Self::OpenAiWebSearchPreview => 2_500,
            Self::OpenAiFileSearch => 250,
        };
        Money::from_nanos(thousandths_of_a_cent * 10_000)
    }
}
