//! Who tells the ledger how calls have ended.

use tokio::{runtime::Runtime, sync::oneshot};

use super::*;

#[tokio::test]
async fn one_that_panics_ends_nobody_elses_work() {
    let clerk = Clerk::start(&Handle::current());
    let (go, waits) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    assert!(clerk.give(async move {
        let _ = tell.send(waits.await);
    }));
    assert!(clerk.give(async { panic!("on purpose") }));
    let (again, done) = oneshot::channel();
    assert!(clerk.give(async move {
        let _ = again.send(());
    }));
    done.await.unwrap();
    // What was begun is done also once nobody has anything more for him.
    drop(clerk);
    go.send(()).unwrap();
    assert!(told.await.unwrap().is_ok());
}

#[test]
fn where_he_is_gone_others_do_it() {
    let his = Runtime::new().unwrap();
    let clerk = Clerk::start(his.handle());
    drop(his);
    let other = Runtime::new().unwrap();
    let (tell, told) = oneshot::channel();
    assert!(other.block_on(async {
        clerk.give(async move {
            let _ = tell.send(());
        })
    }));
    other.block_on(told).unwrap();
    assert!(!clerk.give(async {}));
}
