//! What may be asked, and how it is written.
//!
//! Owns the step between a person's SQL and the engine's: names of FOCUS columns in any case,
//! parameters as `?` or `$1`, `unnest` of a row's own list. Refuses everything but one question.
//! Invariant: a parameter becomes one literal, whatever is in it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        Expr, Ident, Join, JoinConstraint, JoinOperator, Query, SetExpr, Statement, TableFactor,
        TableWithJoins, Value as SqlValue, VisitMut, VisitorMut,
    },
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Tokenizer, Word},
};

use focus::cost::Value;

use crate::{dialect::Sql, query::QueryError};

#[cfg(test)]
mod tests;

/// Bytes of a question.
const SQL_MAX: usize = 256 << 10;
/// How deep it may be nested.
const DEPTH_MAX: usize = 60;

/// A question that is ready to be planned.
pub(crate) struct Question {
    pub(crate) statement: Statement,
    /// How each name was written first, by its lower case: answers are headed so.
    pub(crate) spellings: HashMap<String, String>,
}

/// Reads a question. `names` are columns by their lower case.
pub(crate) fn read(
    sql: &str,
    params: &[Value],
    names: &BTreeMap<String, String>,
) -> Result<Question, QueryError> {
    if sql.len() > SQL_MAX {
        return Err(QueryError::Syntax(format!("a question of over {SQL_MAX} bytes")));
    }
    let dialect = Sql::default();
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| QueryError::Syntax(error.to_string()))?;
    let (tokens, spellings) = rewrite(tokens, params, names)?;
    let parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX);
    let mut statements = parser.with_tokens_with_locations(tokens).parse_statements()?;
    let mut statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(QueryError::Syntax("nothing is asked".into())),
        (Some(_), false) => {
            return Err(QueryError::Refused("one question at a time".into()));
        }
    };
    check(&statement)?;
    if let ControlFlow::Break(error) = statement.visit(&mut Questions) {
        return Err(error);
    }
    Ok(Question { statement, spellings })
}

impl From<ParserError> for QueryError {
    fn from(error: ParserError) -> Self {
        Self::Syntax(match error {
            ParserError::RecursionLimitExceeded => "it is nested too deep".to_owned(),
            ParserError::TokenizerError(say) | ParserError::ParserError(say) => say,
        })
    }
}

/// A question only: nothing that changes, writes or sets.
fn check(statement: &Statement) -> Result<(), QueryError> {
    let refuse = |what: &str| {
        let say =
            format!("{what}: the lake answers select (and explain), it changes by ingest alone");
        Err(QueryError::Refused(say))
    };
    match statement {
        Statement::Query(query) => check_query(query),
        Statement::Explain { statement, .. } => match statement.as_ref() {
            Statement::Query(query) => check_query(query),
            _ => refuse("explain of something other than select"),
        },
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or("that").to_lowercase();
            refuse(&verb)
        }
    }
}

fn check_query(query: &Query) -> Result<(), QueryError> {
    fn writes(body: &SetExpr) -> bool {
        match body {
            SetExpr::Select(select) => select.into.is_some(),
            SetExpr::Query(query) => writes(&query.body),
            SetExpr::SetOperation { left, right, .. } => writes(left) || writes(right),
            SetExpr::Values(_) | SetExpr::Table(_) => false,
            _ => true,
        }
    }
    if writes(&query.body) {
        return Err(QueryError::Refused("select that writes".into()));
    }
    Ok(())
}

type Rewritten = (Vec<TokenWithSpan>, HashMap<String, String>);

fn rewrite(
    tokens: Vec<TokenWithSpan>,
    params: &[Value],
    names: &BTreeMap<String, String>,
) -> Result<Rewritten, QueryError> {
    let mut spellings = HashMap::new();
    let mut rewritten = Vec::with_capacity(tokens.len() + params.len());
    let mut used = 0;
    let mut most = 0;
    for (at, token) in tokens.iter().enumerate() {
        let put = |token_: Token| TokenWithSpan { token: token_, span: token.span };
        match &token.token {
            Token::Word(word) => {
                let called = tokens[at + 1..]
                    .iter()
                    .find(|next| !matches!(next.token, Token::Whitespace(_)))
                    .is_some_and(|next| next.token == Token::LParen);
                let plain = word.value.to_lowercase();
                match names.get(&plain).filter(|_| !called) {
                    Some(name) => rewritten.push(put(quoted(name))),
                    None => rewritten.push(token.clone()),
                }
                if word.quote_style.is_none() {
                    spellings.entry(plain).or_insert_with(|| word.value.clone());
                }
            }
            Token::Placeholder(name) => {
                let index = match name.strip_prefix('$').map(str::parse::<usize>) {
                    Some(Ok(number)) if number > 0 => number - 1,
                    None if name == "?" => {
                        used += 1;
                        used - 1
                    }
                    _ => {
                        let say = format!("parameter {name}; write ? or $1");
                        return Err(QueryError::Syntax(say));
                    }
                };
                most = most.max(index + 1);
                let value = params
                    .get(index)
                    .ok_or(QueryError::Parameters { given: params.len(), wanted: index + 1 })?;
                rewritten.extend(literal(value).into_iter().map(put));
            }
            _ => rewritten.push(token.clone()),
        }
    }
    if most < params.len() {
        return Err(QueryError::Parameters { given: params.len(), wanted: most });
    }
    Ok((rewritten, spellings))
}

fn quoted(name: &str) -> Token {
    let word = Word { value: name.to_owned(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
    Token::Word(word)
}

/// A value as one literal.
fn literal(value: &Value) -> Vec<Token> {
    let number = |text: String| match text.strip_prefix('-') {
        Some(positive) => vec![
            Token::LParen,
            Token::Minus,
            Token::Number(positive.to_owned(), false),
            Token::RParen,
        ],
        None => vec![Token::Number(text, false)],
    };
    match value {
        Value::Null => vec![Token::make_keyword("NULL")],
        Value::Bool(true) => vec![Token::make_keyword("TRUE")],
        Value::Bool(false) => vec![Token::make_keyword("FALSE")],
        Value::Int(int) => number(int.to_string()),
        Value::Decimal(decimal) => number(decimal.to_string()),
        other => vec![Token::SingleQuotedString(other.to_string())],
    }
}

/// `from t cross join unnest(list of t) as u(x)` becomes `from (select t.*, unnest(list) as x)`,
/// for the engine does not look sideways.
struct Questions;

impl VisitorMut for Questions {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if let Err(error) = check_query(query) {
            return ControlFlow::Break(error);
        }
        let SetExpr::Select(select) = query.body.as_mut() else {
            return ControlFlow::Continue(());
        };
        // A comma is a cross join.
        let sideways = |table: &TableWithJoins| is_unnest(&table.relation);
        if select.from.iter().skip(1).any(sideways) {
            let mut tables = std::mem::take(&mut select.from).into_iter();
            let mut joined: Vec<TableWithJoins> = tables.next().into_iter().collect();
            for table in tables {
                match joined.last_mut().filter(|_| sideways(&table)) {
                    Some(last) => {
                        last.joins.push(Join {
                            relation: table.relation,
                            global: false,
                            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                        });
                        last.joins.extend(table.joins);
                    }
                    None => joined.push(table),
                }
            }
            select.from = joined;
        }
        for table in &mut select.from {
            if let Err(error) = unnest(table) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    /// `case when … then 0 else BilledCost end` is an amount: the engine takes the first branch's
    /// type for the whole until it is too late for exact arithmetic.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        if let Expr::Case { conditions, else_result, .. } = expr {
            let results = conditions.iter_mut().map(|when| &mut when.result);
            let results: Vec<&mut Expr> = results.chain(else_result.as_deref_mut()).collect();
            if !results.iter().all(|result| matches!(result, Expr::Value(_))) {
                results.into_iter().for_each(as_decimal);
            }
        }
        // A literal is a decimal; where a float is wanted, its digits are read as one at once, for
        // what is divided by a power of ten is not always the nearest.
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Expr::Value(value) = expr.as_mut()
            && let SqlValue::Number(digits, _) = &value.value
        {
            let wanted = data_type.to_string().to_ascii_uppercase();
            if ["DOUBLE", "FLOAT", "REAL"].iter().any(|float| wanted.starts_with(float)) {
                value.value = SqlValue::SingleQuotedString(digits.clone());
            }
        }
        ControlFlow::Continue(())
    }
}

/// A whole number as a decimal one.
fn as_decimal(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let SqlValue::Number(digits, _) = &mut value.value
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        digits.push_str(".0");
    }
}

fn is_unnest(relation: &TableFactor) -> bool {
    matches!(relation, TableFactor::UNNEST { .. })
}

fn unnest(table: &mut TableWithJoins) -> Result<(), QueryError> {
    while let Some(at) = table.joins.iter().position(|join| is_unnest(&join.relation)) {
        if at != 0 {
            let say = "unnest has to stand right behind the table whose list it takes";
            return Err(QueryError::Syntax(say.into()));
        }
        let join = table.joins.remove(at);
        let inner = matches!(
            join.join_operator,
            JoinOperator::CrossJoin(_) | JoinOperator::Inner(JoinConstraint::None)
        );
        let TableFactor::UNNEST { alias, array_exprs, .. } = join.relation else { continue };
        let (Some(list), true, 1) = (array_exprs.first(), inner, array_exprs.len()) else {
            let say = "only `cross join unnest(list) as u(name)` is known";
            return Err(QueryError::Syntax(say.into()));
        };
        let column = match &alias {
            Some(alias) => alias.columns.first().map_or(&alias.name, |column| &column.name),
            None => &Ident::new("unnest"),
        };
        table.relation = unnested(&table.relation, list, column)?;
    }
    Ok(())
}

fn unnested(table: &TableFactor, list: &Expr, column: &Ident) -> Result<TableFactor, QueryError> {
    let name = match table {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => alias.name.to_string(),
        TableFactor::Table { name, .. } => name.to_string(),
        _ => {
            let say = "unnest needs a table with a name before it";
            return Err(QueryError::Syntax(say.into()));
        }
    };
    let last = name.rsplit('.').next().unwrap_or(&name).to_owned();
    let text = format!(
        "select * from (select * from (select {name}.*, unnest({list}) as {column} from {table}) \
         as {last} where {column} is not null) as {last}"
    );
    let query = Parser::new(&Sql::default()).try_with_sql(&text)?.parse_query()?;
    match *query.body {
        SetExpr::Select(mut select) if select.from.len() == 1 => Ok(select.from.remove(0).relation),
        _ => Err(QueryError::Syntax("unnest of this table".into())),
    }
}
