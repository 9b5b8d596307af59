//! The request bodies: any bytes are a request within its bounds, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = serde_json::from_slice::<api::CheckRequest>(data);
    let _ = serde_json::from_slice::<api::TrackRequest>(data);
    let _ = serde_json::from_slice::<api::SetRequest>(data);
    let _ = serde_json::from_slice::<api::ReservationRequest>(data);
    let _ = serde_json::from_slice::<api::SettleRequest>(data);
    let _ = serde_json::from_slice::<api::BudgetRequest>(data);
    let _ = serde_json::from_slice::<api::BudgetUpdate>(data);
    // Money survives its own text.
    if let Ok(usd) = serde_json::from_slice::<api::Usd>(data) {
        let text = serde_json::to_vec(&usd).expect("money has a text");
        let again: api::Usd = serde_json::from_slice(&text).expect("its own text is money");
        assert_eq!(usd.0, again.0);
    }
});
