//! Tidelog from outside: what its users and the designs that it answers to ask of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "compat/pair.rs"]
mod pair;

#[path = "compat/answers.rs"]
mod answers;
#[path = "compat/arrays.rs"]
mod arrays;
#[path = "compat/casts.rs"]
mod casts;
#[path = "compat/catalog.rs"]
mod catalog;
#[path = "compat/changes.rs"]
mod changes;
#[path = "compat/clients.rs"]
mod clients;
#[path = "compat/clocks.rs"]
mod clocks;
#[path = "compat/coercion.rs"]
mod coercion;
#[path = "compat/columns.rs"]
mod columns;
#[path = "compat/constraints.rs"]
mod constraints;
#[path = "compat/copying.rs"]
mod copying;
#[path = "compat/crash.rs"]
mod crash;
#[path = "compat/cursors.rs"]
mod cursors;
#[path = "compat/damage.rs"]
mod damage;
#[path = "compat/databases.rs"]
mod databases;
#[path = "compat/ddl.rs"]
mod ddl;
#[path = "compat/definitions.rs"]
mod definitions;
#[path = "compat/dump.rs"]
mod dump;
#[path = "compat/durability.rs"]
mod durability;
#[path = "compat/enum_names.rs"]
mod enum_names;
#[path = "compat/errors.rs"]
mod errors;
#[path = "compat/extensions.rs"]
mod extensions;
#[path = "compat/feed_checker.rs"]
mod feed_checker;
#[path = "compat/feed_complaints.rs"]
mod feed_complaints;
#[path = "compat/floats.rs"]
mod floats;
#[path = "compat/forms.rs"]
mod forms;
#[path = "compat/generated.rs"]
mod generated;
#[path = "compat/histories.rs"]
mod histories;
#[path = "compat/history.rs"]
mod history;
#[path = "compat/http.rs"]
mod http;
#[path = "compat/indexes.rs"]
mod indexes;
#[path = "compat/isolation.rs"]
mod isolation;
#[path = "compat/json.rs"]
mod json;
#[path = "compat/jsonpath.rs"]
mod jsonpath;
#[path = "compat/kalamdb_defects.rs"]
mod kalamdb_defects;
#[path = "compat/lifecycle.rs"]
mod lifecycle;
#[path = "compat/live.rs"]
mod live;
#[path = "compat/materialized.rs"]
mod materialized;
#[path = "compat/modifiers.rs"]
mod modifiers;
#[path = "compat/notify.rs"]
mod notify;
#[path = "compat/numerics.rs"]
mod numerics;
#[path = "compat/object_store.rs"]
mod object_store;
#[path = "compat/odd_places.rs"]
mod odd_places;
#[path = "compat/oids.rs"]
mod oids;
#[path = "compat/operations.rs"]
mod operations;
#[path = "compat/pgbench.rs"]
mod pgbench;
#[path = "compat/places.rs"]
mod places;
#[path = "compat/precision.rs"]
mod precision;
#[path = "compat/prepared.rs"]
mod prepared;
#[path = "compat/protocol.rs"]
mod protocol;
#[path = "compat/queries.rs"]
mod queries;
#[path = "compat/reads.rs"]
mod reads;
#[path = "compat/real_data.rs"]
mod real_data;
#[path = "compat/refusals.rs"]
mod refusals;
#[path = "compat/retype.rs"]
mod retype;
#[path = "compat/robustness.rs"]
mod robustness;
#[path = "compat/roles.rs"]
mod roles;
#[path = "compat/rules.rs"]
mod rules;
#[path = "compat/scopes.rs"]
mod scopes;
#[path = "compat/sessions.rs"]
mod sessions;
#[path = "compat/sets.rs"]
mod sets;
#[path = "compat/slt.rs"]
mod slt;
#[path = "compat/spans.rs"]
mod spans;
#[path = "compat/spellings.rs"]
mod spellings;
#[path = "compat/subscribe.rs"]
mod subscribe;
#[path = "compat/suites.rs"]
mod suites;
#[path = "compat/system.rs"]
mod system;
#[path = "compat/tidy.rs"]
mod tidy;
#[path = "compat/tpch.rs"]
mod tpch;
#[path = "compat/transactional_ddl.rs"]
mod transactional_ddl;
#[path = "compat/transactions.rs"]
mod transactions;
#[path = "compat/type_functions.rs"]
mod type_functions;
#[path = "compat/type_rules.rs"]
mod type_rules;
#[path = "compat/types.rs"]
mod types;
#[path = "compat/upsert.rs"]
mod upsert;
#[path = "compat/usual.rs"]
mod usual;
#[path = "compat/validation.rs"]
mod validation;
#[path = "compat/views.rs"]
mod views;
#[path = "compat/websocket.rs"]
mod websocket;
#[path = "compat/wire.rs"]
mod wire;
#[path = "compat/with.rs"]
mod with;
#[path = "compat/written.rs"]
mod written;
