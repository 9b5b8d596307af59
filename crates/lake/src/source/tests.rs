use super::*;

async fn list(path: &Path) -> Result<Delivery, String> {
    Delivery::list(path, &[], Limits::default()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("secret.csv"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "a,b\n").unwrap();
    fs::write(inside.join("bill.csv"), "a,b\n").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link.csv")).unwrap();
    let error = list(&inside).await.unwrap_err();
    assert!(error.contains("is a link out of the folder"), "{error}");
    assert!(error.contains("secret.csv"), "{error}");
}

#[tokio::test]
async fn a_folder_without_bills_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    let error = list(folder.path()).await.unwrap_err();
    assert!(error.contains("holds no CSV") && error.contains("notes.txt"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_or_no_place_for_bills_is_told() {
    for (at, want) in [
        ("/no/such/bill.csv", "open /no/such/bill.csv"),
        ("gs://bucket/prefix", "bills are read from a path or from s3://bucket/prefix"),
        ("s3://key:secret@bucket/prefix", "keys are told by AWS_ACCESS_KEY_ID"),
    ] {
        let error = list(Path::new(at)).await.unwrap_err();
        assert!(error.contains(want), "{at}: {error}");
    }
}

#[tokio::test]
async fn a_listing_stands_for_its_files_once_they_have_settled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bill.csv");
    fs::write(&path, "a,b\n").unwrap();
    // It may be written again within the same tick of the file system's clock.
    assert_eq!(list(folder.path()).await.unwrap().parts[0].listing, None);
}

#[tokio::test]
async fn a_file_that_was_written_again_after_it_was_listed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bill.csv");
    fs::write(&path, "a,b\n").unwrap();
    let delivery = list(folder.path()).await.unwrap();
    let part = &delivery.parts[0];
    assert!(delivery.unchanged(part).await.is_ok());
    fs::write(&path, "a,b\n1,2\n").unwrap();
    let error = delivery.unchanged(part).await.unwrap_err().to_string();
    assert!(error.contains("was replaced while it was read"), "{error}");
}
