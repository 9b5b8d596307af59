//! What a picture costs in tokens, by the vendors' published formulas.
//!
//! Anthropic ([vision](https://platform.claude.com/docs/en/build-with-claude/vision)): width ×
//! height / 750 once scaled down, up to 4,784 on the models that see most. OpenAI ([images and
//! vision](https://platform.openai.com/docs/guides/images-vision)): tiles of 512 pixels on some
//! models, patches of 32 pixels with a multiplier on others. Where a model may belong to either,
//! the dearer counts.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Base64 that is enough to find a picture's size in.
const HEAD: usize = 256 * 1024;
/// The most that one picture costs at Anthropic.
const ANTHROPIC_MOST: u64 = 4_784;
/// Patches that a picture has at most.
const PATCHES_MOST: u64 = 1_536;
/// And where its caller asks for its original size.
const PATCHES_ORIGINAL: u64 = 10_000;
/// The highest multiplier of a patch, in hundredths.
const PATCH_HUNDREDTHS: u64 = 246;
/// Tiles of a picture at most: 2,048 by 768 pixels.
const TILES_MOST: u64 = 8;

/// Width and height in pixels, read from a picture's first bytes.
pub(super) fn size(data: &str) -> Option<(u64, u64)> {
    let head = &data.as_bytes()[..data.len().min(HEAD) / 4 * 4];
    let bytes = STANDARD.decode(head).ok()?;
    let size = imagesize::blob_size(&bytes).ok()?;
    Some((size.width as u64, size.height as u64))
}

/// Tokens of a picture at Anthropic.
pub(super) fn anthropic(size: Option<(u64, u64)>) -> u64 {
    let Some((width, height)) = size else { return ANTHROPIC_MOST };
    // A few more for the frame around it and for rounding while scaling.
    (width.saturating_mul(height).div_ceil(750) + 16).min(ANTHROPIC_MOST)
}

/// Tokens of a picture at OpenAI.
pub(super) fn openai(model: &str, size: Option<(u64, u64)>, detail: Option<&str>) -> u64 {
    let (base, tile) = if model.contains("4o-mini") { (2_833, 5_667) } else { (85, 170) };
    if detail == Some("low") {
        return base.max(PATCHES_MOST / 4);
    }
    let most = if matches!(detail, Some("low" | "high")) { PATCHES_MOST } else { PATCHES_ORIGINAL };
    let (tiles, patches) = match size {
        None => (TILES_MOST, most),
        Some((width, height)) => {
            // Tiles are counted after scaling down, so never more than without.
            let tiles = width.div_ceil(512).saturating_mul(height.div_ceil(512));
            let patches = width.div_ceil(32).saturating_mul(height.div_ceil(32));
            (tiles.clamp(1, TILES_MOST), patches.min(most))
        }
    };
    (base + tile * tiles).max((patches * PATCH_HUNDREDTHS).div_ceil(100))
}
