//! Commands: transactions, settings, roles in use, DDL, CALL, LISTEN.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Expr, Set, Statement};
use tidelog_storage::{ColumnType, Datum, RoleDef, TableKind};

use super::isolation::level_of;
use super::{Block, Isolation, Notice, Outcome, Session};
use crate::activity::Ends;
use crate::ddl::{self, Ddl};
use crate::error::{ErrorKind, SqlError};
use crate::notify::{CHANNELS_ARRAY, ChannelChange, text_list};
use crate::output::{self, OutputColumn};
use crate::parse::literal_text;
use crate::settings::{NO_ROLE, ROLE, SERVER_VERSION, is_hidden, joined, role_value};
use crate::text::{self, Style, Zone};

impl Session {
    /// The columns that a command's result has.
    pub(super) fn command_columns(
        &self,
        statement: &Statement,
    ) -> Result<Option<Vec<OutputColumn>>, SqlError> {
        match statement {
            Statement::ShowVariable { variable } if is_all(variable) => Ok(Some(all_columns())),
            Statement::ShowVariable { variable } => {
                let (name, _) = self.setting(&setting_name(variable))?;
                Ok(Some(vec![OutputColumn::new(name, ColumnType::Text)]))
            }
            other => crate::explain::columns(other),
        }
    }

    fn setting(&self, name: &str) -> Result<(String, String), SqlError> {
        match name.to_ascii_lowercase().as_str() {
            "session_authorization" => Ok(("session_authorization".to_string(), self.login_name())),
            "is_superuser" => {
                let value = if self.is_superuser() { "on" } else { "off" };
                Ok(("is_superuser".to_string(), value.to_string()))
            }
            "transaction isolation level" | "transaction_isolation" => Ok((
                "transaction_isolation".to_string(),
                self.isolation().name().to_string(),
            )),
            "transaction_read_only" => {
                let value = if self.work.read_only { "on" } else { "off" };
                Ok(("transaction_read_only".to_string(), value.to_string()))
            }
            "transaction_deferrable" => {
                let value = if self.work.deferrable { "on" } else { "off" };
                Ok(("transaction_deferrable".to_string(), value.to_string()))
            }
            "max_connections" => Ok((
                "max_connections".to_string(),
                self.engine.connections_max.to_string(),
            )),
            _ => self.settings.get(name),
        }
    }

    /// Every setting with the value it has in this session.
    pub(super) fn all_settings(&self) -> Vec<(String, String)> {
        let value = |(name, default): (&str, &str)| {
            // What cannot be set has its default.
            let value = self
                .setting(name)
                .map_or(default.to_string(), |(_, value)| value);
            (name.to_string(), value)
        };
        let known = crate::settings::defaults().map(value);
        known.chain(self.settings.custom()).collect()
    }

    /// What functions that ask for the session give, by name.
    pub(super) fn constants(&self) -> HashMap<&'static str, ScalarValue> {
        let heard = Some(self.heard.load(Ordering::Relaxed)).filter(|seq| *seq > 0);
        let began =
            ScalarValue::TimestampMicrosecond(Some(self.engine.began_us), Some(Arc::from("UTC")));
        // What comes over HTTP is shown to have no connection.
        let port = |end: fn(&Ends) -> SocketAddr| {
            let port = self.shown().map(|shown| end(shown.ends()).port());
            ScalarValue::Int32(port.map(i32::from))
        };
        let address = |end: fn(&Ends) -> SocketAddr| {
            let address = self.shown().map(|shown| end(shown.ends()).ip().to_string());
            ScalarValue::Utf8(address)
        };
        let (catalog, role) = (self.catalog(), self.role());
        let role = catalog.name_of(&role);
        let schema = (self.search_path().into_iter())
            .find(|name| catalog.schemas.contains(name) && !ddl::temp::is_temporary(name));
        HashMap::from([
            ("current_user", ScalarValue::from(role)),
            ("current_role", ScalarValue::from(role)),
            ("user", ScalarValue::from(role)),
            (
                "session_user",
                ScalarValue::from(catalog.name_of(&self.login.role)),
            ),
            (
                "current_database",
                ScalarValue::from(catalog.database_name()),
            ),
            (
                "current_catalog",
                ScalarValue::from(catalog.database_name()),
            ),
            ("current_schema", ScalarValue::from(schema)),
            ("pg_postmaster_start_time", began.clone()),
            ("pg_conf_load_time", began),
            ("inet_client_addr", address(|ends| ends.client)),
            ("inet_server_addr", address(|ends| ends.server)),
            ("inet_client_port", port(|ends| ends.client)),
            ("inet_server_port", port(|ends| ends.server)),
            ("pg_backend_pid", ScalarValue::from(self.login.pid)),
            ("txid_current", ScalarValue::from(self.transaction_number())),
            (
                "pg_current_xact_id",
                ScalarValue::from(self.transaction_number()),
            ),
            (CHANNELS_ARRAY, text_list(&self.listening)),
            // What waits for slow readers is in the log, which has no end.
            ("pg_notification_queue_usage", ScalarValue::from(0.0_f64)),
            ("notification_seq", ScalarValue::Int64(heard)),
            (
                "version",
                ScalarValue::from(format!("PostgreSQL {SERVER_VERSION}")),
            ),
        ])
    }

    pub(super) async fn command(
        &mut self,
        statement: &Statement,
        kind: Option<TableKind>,
        deferrable: Option<bool>,
    ) -> Result<Outcome, SqlError> {
        match statement {
            Statement::StartTransaction { modes, begin, .. } => {
                self.begin(modes)?;
                deferrable.map_or(Ok(()), |deferrable| self.set_deferrable(deferrable))?;
                let tag = if *begin { "BEGIN" } else { "START TRANSACTION" };
                Ok(Outcome::Command(tag.to_string()))
            }
            Statement::Commit { chain: false, .. } => self.end(true).await,
            Statement::Rollback {
                chain: false,
                savepoint: None,
            } => self.end(false).await,
            Statement::Rollback {
                chain: false,
                savepoint: Some(name),
            } => self.roll_back_to(&ddl::fold(name)),
            Statement::Savepoint { name } => self.savepoint(ddl::fold(name)),
            Statement::ReleaseSavepoint { name } => self.release_savepoint(&ddl::fold(name)),
            Statement::Set(set) => self.set(set, deferrable),
            Statement::Reset(reset) => self.reset(&reset.to_string()),
            Statement::ShowVariable { variable } if is_all(variable) => {
                let mut settings = self.all_settings();
                settings.retain(|(name, _)| !is_hidden(name));
                settings.sort_unstable();
                let row = |(name, value): (String, String)| {
                    let description = crate::system::settings::description(&name).to_string();
                    [name, value, description].map(Datum::Text).to_vec()
                };
                let rows: Vec<_> = settings.into_iter().map(row).collect();
                let types = [ColumnType::Text; 3];
                Ok(Outcome::Rows {
                    columns: all_columns(),
                    rows: output::once(output::batch_of_rows(&types, &rows)?),
                    verb: "SHOW",
                })
            }
            Statement::ShowVariable { variable } => {
                let (name, value) = self.setting(&setting_name(variable))?;
                let batch =
                    output::batch_of_rows(&[ColumnType::Text], &[vec![Datum::Text(value)]])?;
                let columns = vec![OutputColumn::new(name, ColumnType::Text)];
                Ok(Outcome::Rows {
                    columns,
                    rows: output::once(batch),
                    verb: "SHOW",
                })
            }
            Statement::Discard {
                object_type: ast::DiscardObject::ALL,
            } => {
                self.refuse_in_block("DISCARD ALL")?;
                self.drop_temporary().await?;
                self.settings.reset_all();
                self.set_setting(ROLE, Some(NO_ROLE))?;
                self.statements.clear();
                self.drawn.clear();
                self.report_all();
                self.change_channels(ChannelChange::Unlisten(None));
                self.advisory.unlock_all();
                self.cursors.clear();
                Ok(Outcome::Command("DISCARD ALL".to_string()))
            }
            Statement::Discard { object_type } => {
                if *object_type == ast::DiscardObject::TEMP {
                    match self.work.block {
                        Block::None => self.drop_temporary().await?,
                        _ => self.drop_temporary_with_block().await?,
                    }
                }
                if *object_type == ast::DiscardObject::SEQUENCES {
                    self.drawn.clear();
                }
                Ok(Outcome::Command(format!("DISCARD {object_type}")))
            }
            Statement::Deallocate { name, .. } => {
                let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
                self.deallocate((!all).then(|| ddl::fold(name)))
            }
            Statement::Lock(lock) => self.lock_tables(lock),
            Statement::UNLISTEN { channel } => {
                let channel = (channel.value != "*").then(|| ddl::fold(channel));
                self.change_channels(ChannelChange::Unlisten(channel));
                Ok(Outcome::Command("UNLISTEN".to_string()))
            }
            Statement::NOTIFY { channel, payload } => self.notify(channel, payload.as_deref()),
            other => self.ddl(Ddl::Sql(other, kind)).await,
        }
    }

    /// LOCK TABLE … IN ACCESS SHARE MODE, which is what every statement holds of what it reads.
    fn lock_tables(&mut self, lock: &ast::Lock) -> Result<Outcome, SqlError> {
        if lock.lock_mode != Some(ast::LockTableMode::AccessShare) {
            let mode = lock.lock_mode.as_ref();
            let mode = mode.map_or("ACCESS EXCLUSIVE".to_string(), ToString::to_string);
            return Err(SqlError::unsupported(format!("LOCK TABLE IN {mode} MODE")));
        }
        if self.work.block == Block::None {
            let message = "LOCK TABLE can only be used in transaction blocks";
            return Err(SqlError::new(ErrorKind::NoActiveTransaction, message));
        }
        let (catalog, path) = (self.catalog(), self.search_path());
        for target in &lock.tables {
            ddl::check_relation(&catalog, &path, &target.name)?;
        }
        Ok(Outcome::Command("LOCK TABLE".to_string()))
    }

    fn set(&mut self, set: &Set, deferrable: Option<bool>) -> Result<Outcome, SqlError> {
        match set {
            Set::SingleAssignment {
                scope,
                variable,
                values,
                ..
            } => {
                let parts = variable.0.iter().filter_map(|part| part.as_ident());
                let parts: Vec<&str> = parts.map(|part| part.value.as_str()).collect();
                let name = parts.join(".");
                let value = |value: &Expr| {
                    let text = match value {
                        Expr::Identifier(word) if word.quote_style.is_none() => {
                            Some(word.value.to_lowercase())
                        }
                        value => literal_text(value),
                    };
                    text.ok_or_else(|| {
                        SqlError::new(
                            ErrorKind::SyntaxError,
                            format!("invalid value for parameter \"{name}\""),
                        )
                    })
                };
                let text = values.iter().map(value).collect::<Result<_, _>>()?;
                let text = joined(&name, text)?;
                let default = values.len() == 1
                    && matches!(&values[0], Expr::Identifier(word)
                    if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
                let value = (!default).then_some(text.as_str());
                if *scope == Some(ast::ContextModifier::Local) {
                    self.set_local(&name, value)?;
                } else {
                    self.set_setting(&name, value)?;
                }
            }
            Set::SetTimeZone { local, value } => {
                let text = match value {
                    Expr::Interval(interval) => Some(zone_of_interval(interval)?),
                    value => literal_text(value),
                };
                let text = text.unwrap_or_else(|| value.to_string());
                let is_own = matches!(value, Expr::Identifier(word) if word.quote_style.is_none())
                    && ["local", "default"].contains(&text.to_lowercase().as_str());
                let text = Some(text.as_str()).filter(|_| !is_own);
                match local {
                    true => self.set_local("TimeZone", text)?,
                    false => self.set_setting("TimeZone", text)?,
                }
            }
            Set::SetTransaction {
                modes,
                snapshot: None,
                session,
            } => self.set_transaction(modes, deferrable, *session)?,
            Set::SetSessionAuthorization(session) => {
                self.set_session_authorization(&session.kind)?
            }
            Set::SetNames { charset_name, .. } => {
                self.set_setting("client_encoding", Some(&charset_name.value))?
            }
            other => return Err(SqlError::unsupported(other)),
        }
        Ok(Outcome::Command("SET".to_string()))
    }

    /// Whoever logged in stays who the session is of; nothing but a `SET ROLE` is undone.
    fn set_session_authorization(
        &mut self,
        kind: &ast::SetSessionAuthorizationParamKind,
    ) -> Result<(), SqlError> {
        if let ast::SetSessionAuthorizationParamKind::User(name) = kind
            && ddl::fold(name) != self.login_name()
        {
            return Err(SqlError::unsupported(
                "SET SESSION AUTHORIZATION of another role",
            ));
        }
        self.set_setting(ROLE, Some(NO_ROLE))
    }

    /// Cuts the value of a setting that is a name to the length of one, and says so.
    pub(super) fn cut_name(&mut self, setting: &str, value: &mut String) {
        if !setting.eq_ignore_ascii_case("application_name") {
            return;
        }
        let whole = value.clone();
        ddl::truncate_name(value);
        if *value != whole {
            let message = format!("identifier \"{whole}\" will be truncated to \"{value}\"");
            self.notices.push(Notice::Message {
                severity: "NOTICE",
                error: SqlError::new(ErrorKind::NameTooLong, message),
            });
        }
    }

    fn set_setting(&mut self, name: &str, value: Option<&str>) -> Result<(), SqlError> {
        // These two are of the transaction under way.
        match (name.to_ascii_lowercase().as_str(), value) {
            ("transaction_isolation", Some(value)) => {
                let level = Isolation::named(value).ok_or_else(|| {
                    crate::settings::invalid_isolation("transaction_isolation", value)
                })?;
                return self.set_isolation(level);
            }
            ("transaction_read_only", Some(value)) => {
                let read_only = crate::settings::boolean("transaction_read_only", value)?;
                return self.set_read_only(read_only);
            }
            ("transaction_deferrable", value) => {
                let default = self.settings.default_deferrable();
                let given = |value| crate::settings::boolean("transaction_deferrable", value);
                return self.set_deferrable(value.map_or(Ok(default), given)?);
            }
            ("transaction_isolation" | "transaction_read_only", None) => {
                let name = name.to_ascii_lowercase();
                let message = format!("parameter \"{name}\" cannot be reset");
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
            _ => {}
        }
        self.assign(name, value, false)
    }

    /// Gives a setting a value, `None` is its default: until the transaction ends when it is `local`.
    pub(super) fn assign(
        &mut self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<(), SqlError> {
        let mut value = value.map(str::to_string);
        if let Some(value) = &mut value {
            self.cut_name(name, value);
            if name.eq_ignore_ascii_case(ROLE) && value != NO_ROLE {
                *value = role_value(&*self.role_to_set(value)?);
            }
        }
        crate::settings::check_allowed(name, self.is_superuser())?;
        let told = match local {
            true => self.settings.set_local(name, value.as_deref())?,
            false => self.settings.set(name, value.as_deref())?,
        };
        if let Some(name) = told {
            let value = self.settings.get(name)?.1;
            let name = name.to_string();
            self.notices.push(Notice::Parameter { name, value });
        }
        Ok(())
    }

    /// SET LOCAL: until the end of the transaction.
    fn set_local(&mut self, name: &str, value: Option<&str>) -> Result<(), SqlError> {
        if self.work.block == Block::None {
            let message = "SET LOCAL can only be used in transaction blocks";
            self.warn(ErrorKind::NoActiveTransaction, message);
            return Ok(());
        }
        if name.to_ascii_lowercase().starts_with("transaction_") {
            return self.set_setting(name, value);
        }
        self.assign(name, value, true)
    }

    /// `set_config`: the setting's value after it is set.
    fn set_config(
        &mut self,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<String, SqlError> {
        if !local {
            self.set_setting(name, value)?;
        } else if self.work.block == Block::None {
            // It holds for the one statement that the transaction is.
            self.assign(name, value, true)?;
        } else {
            self.set_local(name, value)?;
        }
        self.setting(name).map(|(_, value)| value)
    }

    /// Carries out the calls of `set_config` that stand in a query's select list and depend on no row, and puts
    /// what they give in their place; `None` when there are none.
    pub(super) fn set_configs(
        &mut self,
        query: &ast::Query,
        parameters: &[Datum],
    ) -> Result<Option<ast::Query>, SqlError> {
        let ast::SetExpr::Select(select) = &*query.body else {
            return Ok(None);
        };
        let mut calls = Vec::new();
        for (at, item) in select.projection.iter().enumerate() {
            let expr = match item {
                ast::SelectItem::UnnamedExpr(expr)
                | ast::SelectItem::ExprWithAlias { expr, .. } => expr,
                _ => continue,
            };
            if let Some(args) = set_config_arguments(expr, parameters) {
                calls.push((at, args));
            }
        }
        if calls.is_empty() {
            return Ok(None);
        }
        let mut query = query.clone();
        if let ast::SetExpr::Select(select) = &mut *query.body {
            for (at, (name, value, local)) in calls {
                let value = self.set_config(&name, value.as_deref(), local)?;
                let alias = match &select.projection[at] {
                    ast::SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
                    _ => ast::Ident::new("set_config"),
                };
                let expr = Expr::Value(ast::Value::SingleQuotedString(value).into());
                select.projection[at] = ast::SelectItem::ExprWithAlias { expr, alias };
            }
        }
        Ok(Some(query))
    }

    fn set_transaction(
        &mut self,
        modes: &[ast::TransactionMode],
        deferrable: Option<bool>,
        session: bool,
    ) -> Result<(), SqlError> {
        if !session && self.work.block == Block::None {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            self.warn(ErrorKind::NoActiveTransaction, message);
            return Ok(());
        }
        if !session {
            self.set_modes(modes)?;
            return deferrable.map_or(Ok(()), |deferrable| self.set_deferrable(deferrable));
        }
        if let Some(deferrable) = deferrable {
            let value = if deferrable { "on" } else { "off" };
            self.set_setting("default_transaction_deferrable", Some(value))?;
        }
        for mode in modes {
            match mode {
                ast::TransactionMode::IsolationLevel(level) => {
                    let name = level_of(*level)?.name();
                    self.set_setting("default_transaction_isolation", Some(name))?;
                }
                ast::TransactionMode::AccessMode(mode) => {
                    let on = *mode == ast::TransactionAccessMode::ReadOnly;
                    let value = if on { "on" } else { "off" };
                    self.set_setting("default_transaction_read_only", Some(value))?;
                }
            }
        }
        Ok(())
    }

    fn set_deferrable(&mut self, deferrable: bool) -> Result<(), SqlError> {
        let refused = match (!self.work.savepoints.is_empty(), self.work.queried) {
            (true, _) => "cannot be called within a subtransaction",
            (_, true) => "must be called before any query",
            _ => {
                self.work.deferrable = deferrable;
                return Ok(());
            }
        };
        let message = format!("SET TRANSACTION [NOT] DEFERRABLE {refused}");
        Err(SqlError::new(ErrorKind::ActiveTransaction, message))
    }

    fn report_all(&mut self) {
        let all = self.reported_settings();
        self.notices.extend(
            all.into_iter()
                .map(|(name, value)| Notice::Parameter { name, value }),
        );
    }

    /// Only a superuser may act as another role: who logged in decides, not whom the session acts as.
    fn role_to_set(&self, name: &str) -> Result<Arc<RoleDef>, SqlError> {
        let catalog = self.catalog();
        let Some(role) = catalog.roles.get(name) else {
            let message = format!("role \"{name}\" does not exist");
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        };
        let login = catalog.role(&self.login.role);
        if login.is_some_and(|login| login.superuser || login.id == role.id) {
            return Ok(role.clone());
        }
        let message = format!("permission denied to set role \"{name}\"");
        Err(SqlError::new(ErrorKind::InsufficientPrivilege, message))
    }

    fn reset(&mut self, text: &str) -> Result<Outcome, SqlError> {
        let name = text.get("RESET ".len()..).unwrap_or_default().trim();
        match name.to_ascii_lowercase().as_str() {
            "all" => {
                self.settings.reset_all();
                self.report_all();
            }
            "session_authorization" => self.set_setting(ROLE, Some(NO_ROLE))?,
            _ => self.set_setting(name, None)?,
        }
        Ok(Outcome::Command("RESET".to_string()))
    }

    pub(super) fn require_superuser(&self, what: &str) -> Result<(), SqlError> {
        if self.is_superuser() {
            return Ok(());
        }
        let message = format!("permission denied: {what} needs a superuser");
        Err(SqlError::new(ErrorKind::InsufficientPrivilege, message))
    }
}

/// Name, value and whether it is local, of a call of `set_config` whose arguments are known.
fn set_config_arguments(
    expr: &Expr,
    parameters: &[Datum],
) -> Option<(String, Option<String>, bool)> {
    let Expr::Function(call) = expr else {
        return None;
    };
    if ddl::fold(call.name.0.last()?.as_ident()?) != "set_config" {
        return None;
    }
    let ast::FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let mut args = list.args.iter().map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => known_text(expr, parameters),
        _ => None,
    });
    let (name, value, local) = (args.next()??, args.next()??, args.next()??);
    let local = matches!(
        local?.to_ascii_lowercase().as_str(),
        "true" | "t" | "on" | "1"
    );
    Some((name?, value, local))
}

/// The text of a literal or parameter, `Some(None)` for NULL; `None` when it is neither.
pub(super) fn known_text(expr: &Expr, parameters: &[Datum]) -> Option<Option<String>> {
    match expr {
        Expr::Cast { expr, .. } => known_text(expr, parameters),
        Expr::Value(value) => match &value.value {
            ast::Value::Null => Some(None),
            ast::Value::Placeholder(name) => {
                let index = crate::row::placeholder(name).ok()?;
                match parameters.get(index)? {
                    Datum::Null => Some(None),
                    Datum::Text(text) => Some(Some(text.clone())),
                    Datum::Bool(value) => Some(Some(value.to_string())),
                    Datum::Int4(value) => Some(Some(value.to_string())),
                    Datum::Int8(value) => Some(Some(value.to_string())),
                    _ => None,
                }
            }
            _ => literal_text(expr).map(Some),
        },
        _ => None,
    }
}

/// Whether SHOW names no setting, but all.
fn is_all(variable: &[ast::Ident]) -> bool {
    matches!(variable, [all] if all.quote_style.is_none() && all.value.eq_ignore_ascii_case("all"))
}

/// The columns of SHOW ALL.
fn all_columns() -> Vec<OutputColumn> {
    let columns = ["name", "setting", "description"].into_iter();
    columns
        .map(|name| OutputColumn::new(name, ColumnType::Text))
        .collect()
}

/// The setting that SHOW names: some in several words, settings of one's own in several parts.
fn setting_name(variable: &[ast::Ident]) -> String {
    let parts: Vec<&str> = variable.iter().map(|part| part.value.as_str()).collect();
    let words = parts.join(" ");
    match words.to_ascii_lowercase().as_str() {
        "time zone" | "transaction isolation level" => words,
        // sqlparser takes the SESSION before it for a modifier.
        "authorization" => "session_authorization".to_string(),
        _ => parts.join("."),
    }
}

/// The zone of `SET TIME ZONE INTERVAL '+01:00' HOUR TO MINUTE`, which is so far east of UTC.
fn zone_of_interval(interval: &ast::Interval) -> Result<String, SqlError> {
    let written = literal_text(&interval.value).unwrap_or_default();
    let read = match (&interval.leading_field, &interval.last_field) {
        (Some(ast::DateTimeField::Hour), None) if !written.contains(':') => {
            text::parse(ColumnType::Interval(None), &format!("{written} hours"))
        }
        _ => text::parse(ColumnType::Interval(None), &written),
    };
    let read = read?;
    let invalid = |detail: &str| {
        let mut shown = String::new();
        text::write(
            read.as_ref(),
            ColumnType::Interval(None),
            Style::default(),
            &mut shown,
        );
        let message = format!("invalid value for parameter \"TimeZone\": \"INTERVAL '{shown}'\"");
        SqlError::new(ErrorKind::InvalidParameterValue, message).detail(detail)
    };
    let Datum::Interval(offset) = read else {
        return Err(invalid("It is no interval."));
    };
    if offset.months != 0 {
        return Err(invalid("Cannot specify months in time zone interval."));
    }
    if offset.days != 0 {
        return Err(invalid("Cannot specify days in time zone interval."));
    }
    let zone = Zone::east(offset.micros / 1_000_000);
    let zone = zone.ok_or_else(|| invalid("UTC timezone offset is out of range."))?;
    Ok(zone.name())
}
