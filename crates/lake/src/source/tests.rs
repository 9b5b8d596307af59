use super::*;

#[test]
fn a_link_out_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("secret.csv"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "a,b\n").unwrap();
    fs::write(inside.join("bill.csv"), "a,b\n").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link.csv")).unwrap();
    let error = Delivery::at(&inside).unwrap_err();
    assert!(matches!(error, SourceError::Outside { .. }), "{error}");
    assert!(error.to_string().contains("secret.csv"), "{error}");
}

#[test]
fn a_folder_without_bills_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "hello").unwrap();
    let error = Delivery::at(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds no CSV") && error.contains("notes.txt"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = Delivery::at(Path::new("/no/such/bill.csv")).unwrap_err().to_string();
    assert!(error.starts_with("open /no/such/bill.csv"), "{error}");
}
