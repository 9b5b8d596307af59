use super::*;

#[test]
fn the_object_store_is_told_what_awss_own_programs_are() {
    let variables = [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:2"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_PROFILE", ""),
        ("HOME", "/root"),
    ];
    let told = storage(variables.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
    let told: Vec<(&str, &str)> = told.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let wanted = [
        ("aws_endpoint_url", "http://127.0.0.1:2"),
        ("aws_region", "eu-central-1"),
        ("aws_endpoint_url", "http://127.0.0.1:1"),
    ];
    assert_eq!(told, wanted);
}
