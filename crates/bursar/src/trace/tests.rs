use super::*;

fn csv(text: &str) -> Trace {
    read(text.as_bytes(), Form::Csv).unwrap()
}

#[test]
fn columns_are_found_by_name_in_any_case_and_order() {
    let trace = csv("model,OUTPUT_TOKENS,Tenant_ID,ContextTokens,TIMESTAMP\n\
                     gpt-4o,44,acme,374,2023-11-16 18:15:46.6805900\n");
    let [request] = trace.requests.as_slice() else { panic!("{trace:?}") };
    assert_eq!((request.tokens_input, request.tokens_output), (374, 44));
    assert_eq!(request.tenant.as_ref().map(TenantId::as_str), Some("acme"));
    assert_eq!(request.model.as_ref().map(ModelName::as_str), Some("gpt-4o"));
    assert_eq!(request.at, Some(1_700_158_546_680_590));
    assert_eq!(request.line, 2);
}

#[test]
fn every_line_that_is_no_request_is_told_with_its_number() {
    let trace = csv("timestamp,input_tokens,output_tokens\n1.5,10,20\n2,x,1\n3,-1,1\n4,1\n\
                     soon,1,1\n5,1,99999999999\n6,7.0,0\n");
    assert_eq!(trace.requests.len(), 2);
    assert_eq!(trace.requests[0].at, Some(1_500_000));
    assert_eq!((trace.requests[1].line, trace.requests[1].tokens_input), (8, 7));
    let lines: Vec<u64> = trace.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    assert_eq!(trace.faults[2].reason, "output tokens are missing");
}

#[test]
fn lines_count_as_an_editor_counts_them() {
    for (text, lines) in [
        ("input_tokens,output_tokens\r\n1,1\r\nx,1\r\n2,2\r\n", [2, 3, 4]),
        ("input_tokens,output_tokens\r1,1\rx,1\r2,2", [2, 3, 4]),
        ("\n\ninput_tokens,output_tokens\n\n1,1\n\n\nx,1\n2,2", [5, 8, 9]),
        ("input_tokens,output_tokens,note\r\n1,1,\"a\r\nb\"\r\nx,1\r\n2,2", [2, 4, 5]),
        ("\u{feff}input_tokens,output_tokens\r\n1,1\r\n\r\nx,1\r\n2,2", [2, 4, 5]),
    ] {
        let trace = csv(text);
        let [first, last] = trace.requests.as_slice() else { panic!("{text:?}: {trace:?}") };
        let [fault] = trace.faults.as_slice() else { panic!("{text:?}: {trace:?}") };
        assert_eq!([first.line, fault.line, last.line], lines, "{text:?}");
    }
}

#[test]
fn a_fault_names_its_column_and_stays_short() {
    let long = "x".repeat(1_000_000);
    let trace = csv(&format!(
        "input_tokens,output_tokens,model,tenant,timestamp\n1,1,a b\n1,1,,c d\n{long},1\n\
         1,1,,,{long}\n"
    ));
    let reasons: Vec<&str> = trace.faults.iter().map(|fault| fault.reason.as_str()).collect();
    assert_eq!(reasons[..2], ["the model must not contain ' '", "the tenant must not contain ' '"]);
    assert!(reasons[2..].iter().all(|reason| reason.len() < 200), "{reasons:?}");
    let header = read(long.as_bytes(), Form::Csv).unwrap_err().to_string();
    assert!(header.len() < 300, "{header}");
}

#[test]
fn bytes_that_are_no_text_cost_their_line_alone() {
    let bytes = b"input_tokens,output_tokens,model\n1,2,a\n1,2,\xff\xfe\n3,4,b\n";
    let trace = read(bytes, Form::Csv).unwrap();
    assert_eq!(trace.requests.len(), 2);
    assert_eq!(trace.faults, [Fault { line: 3, reason: "it is not UTF-8".to_owned() }]);
}

#[test]
fn a_file_without_its_columns_is_no_trace() {
    let error = read(b"a,b\n1,2\n", Form::Csv).unwrap_err();
    assert!(error.to_string().starts_with("no column for input tokens"), "{error}");
    assert_eq!(read(b"", Form::Csv), Err(TraceError::Empty));
}

#[test]
fn json_lines_count_milliseconds() {
    let text = "{\"timestamp\": 1500, \"input_length\": 6758, \"output_length\": 500, \
                \"hash_ids\": [0, 1]}\n\n[1]\n{\"input_length\": 1}\n{\n";
    let trace = read(text.as_bytes(), Form::JsonLines).unwrap();
    assert_eq!(trace.requests.len(), 1);
    assert_eq!(trace.requests[0].at, Some(1_500_000));
    let lines: Vec<u64> = trace.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [3, 4, 5]);
}
