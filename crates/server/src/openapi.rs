//! The OpenAPI document: what the handlers say of themselves, and what is true of all.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components, OpenApi as Document, Ref, Response, ResponseBuilder,
        content::ContentBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    page,
    router::{self, Access},
    routes::{
        ai_budget, alerts, budgets, cloud_budgets, cost, events, keys, ledger, prices, probes,
        reservations, tenants, usage,
    },
    scrape,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bursar",
        description = "An exact budget ledger for AI spend. Amounts are US dollars, exact to nine \
                       decimals, as JSON numbers.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        page::budgets, page::docs, page::openapi, probes::healthz, probes::readyz, scrape::metrics,
        ai_budget::health, ai_budget::check, ai_budget::track, ai_budget::set, ai_budget::tenant,
        ai_budget::top_consumers,
        reservations::reserve, reservations::list, reservations::show, reservations::settle,
        reservations::release, reservations::resolve,
        budgets::list, budgets::create, budgets::show, budgets::update, budgets::remove,
        budgets::history,
        cloud_budgets::list, cloud_budgets::create, cloud_budgets::update, cloud_budgets::remove,
        tenants::list, tenants::put, tenants::show,
        keys::list, keys::create, keys::rotate, keys::revoke,
        prices::list, prices::import, prices::show,
        cost::report, cost::diff, cost::tags, cost::imports, cost::reconcile, cost::query,
        ledger::list, events::list, alerts::note, usage::report, usage::unpriced, usage::export,
    ),
    components(schemas(api::Problem, api::PriceView)),
    modifiers(&Shared)
)]
struct Api;

/// The document.
pub fn document() -> Document {
    Api::openapi()
}

/// What is true of all operations: who may, and what may go wrong.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "The admin token, or a tenant's key. Without a configured token everybody on this \
             machine is an administrator.",
        ));
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme.build()));
        let (_, index) = router::routes().build();
        for (path, item) in &mut document.paths.paths {
            let (_, access) = index.find(path);
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                complete(operation, access);
            }
        }
    }
}

fn complete(operation: &mut Operation, access: Access) {
    let mut may = |status: u16, description: &str| {
        let responses = &mut operation.responses.responses;
        let problem = || problem(description).into();
        responses.entry(status.to_string()).or_insert_with(problem);
    };
    may(403, "The caller may not do this");
    may(500, "Something went wrong here");
    may(503, "The store does not answer, or the service is stopping");
    if access == Access::Keyed {
        may(401, "Neither the admin token nor a tenant's key");
        may(429, "Too many requests with this key");
    }
    let has_body = operation.request_body.is_some();
    let has_parameters = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
    let mut may = |status: u16, description: &str| {
        let responses = &mut operation.responses.responses;
        let problem = || problem(description).into();
        responses.entry(status.to_string()).or_insert_with(problem);
    };
    if has_body || has_parameters {
        may(400, "Not UTF-8, or no valid JSON");
        may(422, "A field is wrong");
    }
    if has_body {
        may(408, "The body did not arrive in time");
        may(413, "The body is longer than 1 MiB");
        may(415, "The body is not application/json");
    }
    let requirement = match access {
        Access::Keyed => vec![SecurityRequirement::new("bearer", Vec::<String>::new())],
        Access::Public => Vec::new(),
    };
    operation.security = Some(requirement);
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
        .build()
}
