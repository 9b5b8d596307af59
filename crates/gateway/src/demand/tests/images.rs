//! Pictures count by their pixels.

use super::*;

#[test]
fn images_count_by_the_published_formulas() {
    use image::{Detail, anthropic, openai};
    // Figures that were measured with the vendors' own counters, without what is around.
    for ((width, height), measured) in
        [((256, 256), 177), ((1024, 1024), 1446), ((1920, 1080), 2768), ((4032, 3024), 4005)]
    {
        assert!(anthropic(Some((width, height))) >= measured);
    }
    for (model, detail, size, tokens) in [
        ("gpt-4o", Detail::High, Some((1024, 1024)), 765),
        ("gpt-4o", Detail::High, Some((2048, 4096)), 1105),
        ("gpt-4o", Detail::Low, None, 85),
        ("gpt-4o", Detail::Most, None, 1445),
        ("gpt-4.1-mini", Detail::Most, Some((1024, 1024)), 1659),
        ("gpt-6-astra", Detail::Most, Some((4032, 3024)), 14_364),
        ("gpt-5.5", Detail::Most, Some((3840, 2160)), 9_792),
        ("gpt-5.6-sol", Detail::Most, None, 36_000),
        ("gpt-5.2", Detail::High, None, 4_916),
        ("gpt-5.4", Detail::Low, Some((2048, 2048)), 4_916),
        ("gpt-4.1-mini", Detail::Low, Some((2048, 2048)), 6_636),
        ("gpt-5.4", Detail::High, Some((1024, 1024)), 1_229),
    ] {
        let bound = openai(model, detail, size).unwrap();
        assert!((tokens..=tokens + 1_000).contains(&bound), "{model} {size:?}: {bound}");
    }
    assert_eq!(openai("llava", Detail::Most, None), None);
}

#[test]
fn the_pixels_of_an_image_are_not_text() {
    // The first bytes of a PNG of 1024 by 1024 pixels, and much more.
    let head = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x04\0\x08\x02\0\0\0".as_slice(),
        &[0; 90_000],
    ];
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, head.concat());
    let body = format!(
        r#"{{"model": "claude-x", "messages": [{{"role": "user", "content": [
            {{"type": "image", "source": {{"type": "base64", "data": "{data}"}}}}]}}]}}"#
    );
    let demand = read(Api::Messages, body.as_bytes()).unwrap();
    assert!((1_446..2_000).contains(&tokens(&demand)), "{demand:?}");
    let body = format!(
        r#"{{"model": "gpt-4o", "messages": [{{"role": "user", "content": [
            {{"type": "image_url", "image_url": {{"url": "data:image/png;base64,{data}"}}}}]}}]}}"#
    );
    let demand = read(CHAT, body.as_bytes()).unwrap();
    assert!((765..1_000).contains(&tokens(&demand)), "{demand:?}");
    // The same picture costs more tokens on a smaller model, which may be called in its place.
    let small = "gpt-4o-mini-2024-07-18";
    let mut other = read_for(CHAT, body.as_bytes(), small, str::to_owned).unwrap();
    tighten(CHAT, body.as_bytes(), &mut other);
    assert!(tokens(&other) >= 25_501, "{other:?}");
    // And on one whose deployment has a name that says nothing, or something else.
    for (name, kind) in [
        ("our-chat", small),
        ("gpt-4o-for-all", small),
        (small, "azure/ours"),
        (small, "gpt-4o"),
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
    ] {
        let body = body.replace("gpt-4o", name);
        let mut named = super::super::read(CHAT, body.as_bytes(), |_| kind.to_owned()).unwrap();
        tighten(CHAT, body.as_bytes(), &mut named);
        assert_eq!((&*named.model, &*named.kind), (name, kind));
        assert!(tokens(&named) >= 25_501, "{named:?}");
    }
}
