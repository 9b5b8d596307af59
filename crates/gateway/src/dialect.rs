//! The vendors' APIs that are spoken here.

/// A vendor's API that can be metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`: free of charge.
    CountTokens,
    /// `POST /v1/messages/batches`.
    MessageBatches,
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
}
