use focus::{ModelName, TenantId};
use money::{Money, PriceBook};

use super::{
    AccountView, LedgerView,
    check::faults,
    drive::{Speed, Tally},
    plan::{Call, Spread, share, spread},
};
use crate::trace::{Form, read};

const TRACE: &[u8] = b"timestamp,input_tokens,output_tokens\n1,10,20\n2,30,40\n3,50,60\n4,7,8\n";

fn planned(seed: u64, skew: f64) -> Vec<Call> {
    let model = ModelName::parse("claude-3-5-sonnet").unwrap();
    let how = Spread { tenants: 3, skew, seed, model };
    let requests = read(TRACE, Form::Csv).unwrap().requests;
    spread(&requests, TRACE, &how, &PriceBook::shipped()).unwrap()
}

#[test]
fn the_same_file_seed_and_options_make_the_same_calls() {
    assert_eq!(planned(1, 1.1), planned(1, 1.1));
    assert_eq!(planned(1, 1.1)[0].model.as_str(), "claude-3-5-sonnet-20241022");
    let keys = |calls: Vec<Call>| calls.iter().map(|call| call.key).collect::<Vec<_>>();
    let (first, second) = (keys(planned(1, 1.1)), keys(planned(2, 1.1)));
    assert!(first.iter().all(|key| !second.contains(key)));
    assert!(first.iter().all(|key| !keys(planned(1, 1.2)).contains(key)));
}

#[test]
fn a_nano_dollar_of_difference_is_a_fault() {
    let money = Money::from_nanos;
    let tenant = TenantId::parse("acme").unwrap();
    let tally = Tally { accepted: 1, spent: money(500), fresh: money(500), ..Tally::default() };
    let ledger = |recorded: i128, settled: i128, limit: i128| LedgerView {
        recorded: money(recorded),
        accounts: vec![AccountView {
            model: "*".to_owned(),
            limit: money(limit),
            settled: money(settled),
            counted: money(settled),
            recorded: money(recorded),
        }],
    };
    let found =
        |after: LedgerView| faults(&tenant, &tally, &ledger(100, 100, 600), &after, true).len();
    assert_eq!(found(ledger(600, 600, 600)), 0);
    assert_eq!(found(ledger(601, 601, 700)), 1, "one too many was recorded");
    assert_eq!(found(ledger(600, 599, 600)), 1, "the account has lost one");
    assert_eq!(found(ledger(600, 600, 599)), 1, "the limit was passed by one");
}

#[test]
fn a_share_never_rounds_up() {
    assert_eq!(share(Money::from_nanos(199), 50), Money::from_nanos(99));
}

#[test]
fn speeds_are_max_or_a_number_of_times() {
    assert_eq!("max".parse(), Ok(Speed::Most));
    assert_eq!("2.5x".parse(), Ok(Speed::Times(2.5)));
    assert!("0x".parse::<Speed>().is_err() && "fast".parse::<Speed>().is_err());
}
