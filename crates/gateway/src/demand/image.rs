//! What an image costs in tokens, at most. Owns the vendors' published formulas.
//!
//! Invariant: an image whose size can't be read costs what the largest does, and one without a
//! known largest fills the window.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 of an image's beginning in which its size is looked for. A JPEG says it after its
/// metadata, which may hold a preview of 64 KiB.
const HEADER: usize = 128 * 1024;
/// What surrounds an image in a prompt.
const AROUND: u64 = 128;

/// Reads base64 whose end was cut off or padded in any way.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How closely an image is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Detail {
    Low,
    High,
    /// `auto`, `original`, absent or unknown: whatever is dearest.
    Most,
}

impl Detail {
    pub(super) fn of(word: &str) -> Detail {
        match word {
            "low" => Detail::Low,
            "high" => Detail::High,
            _ => Detail::Most,
        }
    }
}

/// Width and height in pixels.
pub(super) type Size = (u64, u64);

/// The size of an image in base64, from its header; `None` if it can't be told.
pub(super) fn size_of_base64(text: &str) -> Option<Size> {
    let head = &text.as_bytes()[..text.len().min(HEADER) & !3];
    let bytes = LENIENT.decode(head).ok()?;
    // A GIF's frames may be larger than its header says.
    if imagesize::image_type(&bytes).ok()? == imagesize::ImageType::Gif {
        return None;
    }
    let size = imagesize::blob_size(&bytes).ok()?;
    Some((u64::try_from(size.width).ok()?.max(1), u64::try_from(size.height).ok()?.max(1)))
}

/// The size of an image behind a URL: of one that is in a `data:` URL; `None` for all others.
pub(super) fn size_of_url(url: &str) -> Option<Size> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    head.ends_with(";base64").then(|| size_of_base64(data)).flatten()
}

/// Anthropic: a token for each patch of 28 by 28 pixels, after the image was scaled down to a long
/// edge of 2,576 pixels and 4,784 tokens on the models of the high-resolution tier, 1,568 of both on
/// others. <https://platform.claude.com/docs/en/build-with-claude/vision>; before patches the page
/// had a token for 750 pixels, which is a little more for some sizes: the larger counts.
pub(super) fn anthropic(size: Option<Size>) -> u64 {
    const MOST: u64 = 4_784;
    let tokens = size.map_or(MOST, |(width, height)| {
        let patches = patches(width, height, 28);
        patches.max(width.saturating_mul(height).div_ceil(750)).min(MOST)
    });
    tokens + AROUND
}

/// OpenAI and those who speak its API; `None` if only the window bounds it.
///
/// <https://developers.openai.com/api/docs/guides/images-vision>, "Model sizing behavior" and
/// "Calculating costs": tiles of 512 pixels for 4o, 4.1, o1, o3, 5 and 5.1; patches of 32 pixels
/// times a factor for the others. `low` is not always less: on 4.1-mini, 5.2 and 5.4 it has the
/// same 2,048 pixels and 6,144 patches as the rest.
pub(super) fn openai(model: &str, detail: Detail, size: Option<Size>) -> Option<u64> {
    let tokens = match family(model) {
        Family::Tiles { base, tile } => match detail {
            Detail::Low => base,
            _ => base + tile * tiles(size),
        },
        Family::Patches { percent } => {
            let count = size.map_or(PATCHES_MOST, |(width, height)| patches(width, height, 32));
            (count.min(PATCHES_MOST) * percent).div_ceil(100)
        }
        Family::Original => {
            let most = match detail {
                Detail::Low | Detail::High => PATCHES_MOST,
                Detail::Most => PATCHES_ORIGINAL_MOST,
            };
            let most = (most * 6).div_ceil(5);
            size.map_or(most, |(width, height)| original(width, height).min(most))
        }
        Family::Unknown => match size {
            // Patches of 14 pixels and a mark for each row: no open model cuts finer.
            Some((width, height)) => {
                let rows = height.div_ceil(14);
                patches(width, height, 14).saturating_add(rows).max(1_445)
            }
            None => return None,
        },
    };
    Some(tokens.saturating_add(AROUND))
}

/// What 2,048 by 2,048 pixels are in patches: with `low` or `high`, no image is larger.
const PATCHES_MOST: u64 = 4_096;
/// As it is, one with more is refused.
const PATCHES_ORIGINAL_MOST: u64 = 30_000;

enum Family {
    /// So many tokens, and so many for each tile.
    Tiles { base: u64, tile: u64 },
    /// Patches of an image of at most 2,048 pixels, times a factor.
    Patches { percent: u64 },
    /// Patches of the image as it is, times 1.2.
    Original,
    /// Another vendor's.
    Unknown,
}

fn family(model: &str) -> Family {
    let starts = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    match () {
        () if starts(&["gpt-4o-mini"]) => Family::Tiles { base: 2_833, tile: 5_667 },
        // Of gpt-5-mini and -nano the page now says 1.2 and 1.5; before it said what stands here.
        () if starts(&["gpt-4.1-mini", "gpt-5-mini"]) => Family::Patches { percent: 162 },
        () if starts(&["gpt-4.1-nano", "gpt-5-nano"]) => Family::Patches { percent: 246 },
        () if starts(&["o4-mini"]) => Family::Patches { percent: 172 },
        // The largest base and tile among 4o, 4.1, 4.5, o1, o3 and 5, which are all less.
        () if starts(&["gpt-4o", "gpt-4.1", "gpt-4.5", "chatgpt-4o", "o1", "o3"]) => {
            Family::Tiles { base: 85, tile: 170 }
        }
        () if model == "gpt-5" || starts(&["gpt-5-20", "gpt-5-chat"]) => {
            Family::Tiles { base: 85, tile: 170 }
        }
        () if starts(&["gpt-5", "gpt-6"]) => Family::Original,
        () => Family::Unknown,
    }
}

/// The tiles of an image that was scaled to 768 pixels on its short side and at most 2,048 on its
/// long one. A small image counts as if it were scaled up, which is never less.
fn tiles(size: Option<Size>) -> u64 {
    let Some((width, height)) = size else { return 8 };
    let (short, long) = (width.min(height), width.max(height));
    let scaled = (768 * long).div_ceil(short).min(2_048);
    2 * scaled.div_ceil(512)
}

/// Patches times 1.2, or the tiles of gpt-5 if they are more.
fn original(width: u64, height: u64) -> u64 {
    let by_patches = patches(width, height, 32).saturating_mul(6).div_ceil(5);
    by_patches.max(85 + 170 * tiles(Some((width, height))))
}

fn patches(width: u64, height: u64, side: u64) -> u64 {
    width.div_ceil(side).saturating_mul(height.div_ceil(side))
}
