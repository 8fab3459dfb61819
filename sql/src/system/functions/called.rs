//! The functions that ask the catalog, by name.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::*;
use crate::system::sequence::stands;
use crate::system::{deparse, pg_proc};

/// What the functions are, by name: what they give, and how.
pub(super) fn called(name: &str) -> Option<(DataType, Call)> {
    Some(match name {
        "pg_is_other_temp_schema" => (DataType::Boolean, |known, args| {
            let name = oid(args, 0).and_then(|oid| known.schemas().get(&oid));
            let other = name.is_some_and(|name| {
                ddl::temp::is_temporary(name) && !known.search_path.contains(name)
            });
            Ok(ScalarValue::from(other))
        }),
        "pg_my_temp_schema" => (DataType::Int64, |known, _| {
            let own = |(_, name): &(&i64, &String)| {
                ddl::temp::is_temporary(name) && known.search_path.contains(name)
            };
            let own = known.schemas().iter().find(own);
            Ok(ScalarValue::from(own.map_or(0, |(oid, _)| *oid)))
        }),
        // No table is a partition of another.
        "pg_ancestors" => {
            let item = Field::new_list_field(DataType::Int64, true);
            (DataType::List(Arc::new(item)), |_, _| {
                let none = ScalarValue::new_list_nullable(&[], &DataType::Int64);
                Ok(ScalarValue::List(none))
            })
        }
        "pg_is_wal_replay_paused" => (DataType::Boolean, |_, _| {
            let message = "recovery is not in progress".to_string();
            Err(error(ErrorKind::ObjectNotInPrerequisiteState, message))
        }),
        "pg_is_in_recovery" | "pg_relation_is_publishable" | "row_security_active" => {
            (DataType::Boolean, |_, _| Ok(ScalarValue::from(false)))
        }
        "obj_description" | "shobj_description" => (DataType::Utf8, |known, args| {
            let Some(object) = oid(args, 0) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let class = string(args, 1).map(|name| comments::class_named(&name));
            // Without the catalog's name any comment on the number will do.
            let mut comments = known.comments().iter();
            let found = comments.find(|((of, on, column), _)| {
                *on == object && *column == 0 && class.is_none_or(|class| class == Some(*of))
            });
            Ok(ScalarValue::Utf8(found.map(|(_, text)| text.clone())))
        }),
        "col_description" => (DataType::Utf8, |known, args| {
            let (Some(object), Some(column)) = (oid(args, 0), oid(args, 1)) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let column = i32::try_from(column).ok().filter(|column| *column != 0);
            let on = column.map(|column| (PG_CLASS, object, column));
            let found = on.and_then(|on| known.comments().get(&on));
            Ok(ScalarValue::Utf8(found.cloned()))
        }),
        "pg_get_partkeydef"
        | "pg_get_triggerdef"
        | "pg_get_ruledef"
        | "pg_get_functiondef"
        | "pg_get_function_sqlbody"
        | "pg_get_function_arg_default"
        | "pg_get_statisticsobjdef"
        | "pg_get_statisticsobjdef_columns"
        | "pg_current_logfile" => (DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
        // Of the two that there are: they are in the server's own directory.
        "pg_tablespace_location" => (DataType::Utf8, |_, args| {
            Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |_| text("")))
        }),
        // What the relations of statistics have NULL for.
        "pg_stat_get_numscans"
        | "pg_stat_get_tuples_returned"
        | "pg_stat_get_tuples_fetched"
        | "pg_stat_get_tuples_hot_updated"
        | "pg_stat_get_live_tuples"
        | "pg_stat_get_dead_tuples"
        | "pg_stat_get_ins_since_vacuum"
        | "pg_stat_get_mod_since_analyze"
        | "pg_stat_get_blocks_fetched"
        | "pg_stat_get_blocks_hit" => (DataType::Int64, |_, _| Ok(ScalarValue::Int64(None))),
        "pg_get_serial_sequence" => (DataType::Utf8, |known, args| {
            let (table, column) = (regclass_in(known, args)?, string(args, 1));
            let (ScalarValue::Int64(Some(table)), Some(column)) = (table, column) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let owned = known.owned_sequences().get(&(table, column));
            Ok(owned.map_or(ScalarValue::Utf8(None), text))
        }),
        "pg_get_userbyid" => (DataType::Utf8, |known, args| {
            Ok(oid(args, 0).map_or(ScalarValue::Utf8(None), |role| {
                text(match known.roles().get(&role) {
                    Some(name) => name.clone(),
                    None => format!("unknown (OID={role})"),
                })
            }))
        }),
        "format_type" => (DataType::Utf8, format_type),
        "regtype_out" => (DataType::Utf8, |known, args| {
            let known_type = oid(args, 0)
                .filter(|oid| known.types().contains_key(oid) || TYPES.contains_key(oid));
            match known_type {
                Some(_) => format_type(known, &args[..1]),
                None => Ok(name_or_number(&BTreeMap::new(), args)),
            }
        }),
        "pg_get_expr" => (DataType::Utf8, |known, args| {
            let shown =
                string(args, 0).map(|tree| known.defaults().get(&tree).cloned().unwrap_or(tree));
            let pretty = matches!(args.get(2), Some(ScalarValue::Boolean(Some(true))));
            Ok(ScalarValue::Utf8(match pretty {
                true => shown.map(|shown| match known.indexes().bare_conditions.get(&shown) {
                    Some(bare) => bare.clone(),
                    None => deparse::pretty(shown),
                }),
                false => shown,
            }))
        }),
        "pg_get_indexdef" => (DataType::Utf8, |known, args| {
            let Some(index) = oid(args, 0) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let pretty = matches!(args.get(2), Some(ScalarValue::Boolean(Some(true))));
            let Some(found) = known.indexes().by_oid.get(&index) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let bare = found.bare.as_ref().filter(|_| pretty);
            let (whole, columns) = bare.unwrap_or(&found.full);
            // Of one column, or the whole.
            let definition = match oid(args, 1).map(usize::try_from) {
                Some(Ok(at @ 1..)) => columns.get(at - 1).cloned().unwrap_or_default(),
                _ => whole.clone(),
            };
            Ok(ScalarValue::Utf8(Some(definition)))
        }),
        "pg_indexam_has_property" => (DataType::Boolean, |_, args| {
            Ok(ScalarValue::Boolean(method_has(args)))
        }),
        "pg_index_has_property" => (DataType::Boolean, |known, args| {
            let index = regclass_in(known, args)?;
            let ScalarValue::Int64(Some(index)) = index else {
                return Ok(ScalarValue::Boolean(None));
            };
            let known = known.indexes().by_oid.contains_key(&index);
            let property = string(args, 1).filter(|_| known);
            let has = property.and_then(|property| {
                let of_btree = ["clusterable", "index_scan", "bitmap_scan", "backward_scan"];
                let property = property.to_lowercase();
                of_btree.contains(&property.as_str()).then_some(true)
            });
            Ok(ScalarValue::Boolean(has))
        }),
        "pg_index_column_has_property" => (DataType::Boolean, |known, args| {
            let index = match args.first() {
                Some(ScalarValue::Utf8(Some(_))) => match regclass_in(known, args)? {
                    ScalarValue::Int64(oid) => oid,
                    _ => None,
                },
                _ => oid(args, 0),
            };
            let index = index.and_then(|index| known.indexes().by_oid.get(&index));
            let place = oid(args, 1).and_then(|at| usize::try_from(at - 1).ok());
            let (Some(index), Some(place), Some(property)) = (index, place, string(args, 2)) else {
                return Ok(ScalarValue::Boolean(None));
            };
            if place >= index.full.1.len() {
                return Ok(ScalarValue::Boolean(None));
            }
            let order = index.orders.get(place);
            // Those of a B-tree. What is only included has no order.
            Ok(ScalarValue::Boolean(
                match property.to_lowercase().as_str() {
                    "asc" => order.map(|order| !order.descending),
                    "desc" => order.map(|order| order.descending),
                    "nulls_first" => order.map(|order| order.nulls_first),
                    "nulls_last" => order.map(|order| !order.nulls_first),
                    "orderable" => Some(order.is_some()),
                    "distance_orderable" => Some(false),
                    "returnable" => Some(true),
                    "search_array" | "search_nulls" => order.map(|_| true),
                    _ => None,
                },
            ))
        }),
        "_pg_index_position" => (DataType::Int32, |known, args| {
            let (index, column) = (oid(args, 0), oid(args, 1));
            let found = index.and_then(|index| known.indexes().by_oid.get(&index));
            let at = found.and_then(|of| of.keys.iter().position(|key| Some(*key) == column));
            let at = at.and_then(|at| i32::try_from(at + 1).ok());
            Ok(ScalarValue::Int32(at))
        }),
        // After the function of this name in PostgreSQL's information_schema.sql.
        "_pg_char_max_length" => (DataType::Int32, |_, args| {
            let length = match (oid(args, 0), oid(args, 1)) {
                (_, None | Some(-1)) => None,
                (Some(1042 | 1043), Some(modifier)) => Some(modifier - 4),
                (Some(1560 | 1562), Some(modifier)) => Some(modifier),
                _ => None,
            };
            let length = length.and_then(|length| i32::try_from(length).ok());
            Ok(ScalarValue::Int32(length))
        }),
        "pg_get_constraintdef" | "pg_get_viewdef" => (DataType::Utf8, |known, args| {
            // A view may be named instead.
            let of = match args.first() {
                Some(ScalarValue::Utf8(Some(_))) => match regclass_in(known, args)? {
                    ScalarValue::Int64(oid) => oid,
                    _ => None,
                },
                _ => oid(args, 0),
            };
            let definition = of.and_then(|oid| known.definitions().get(&oid));
            let pretty = matches!(args.get(1), Some(ScalarValue::Boolean(Some(true))));
            let shown = definition.map(|of| match &of.bare {
                Some(bare) if pretty => bare.clone(),
                _ => of.full.clone(),
            });
            Ok(ScalarValue::Utf8(shown))
        }),
        "pg_encoding_to_char" => (DataType::Utf8, |_, args| {
            Ok(text(if oid(args, 0) == Some(6) { "UTF8" } else { "" }))
        }),
        "current_setting" => (DataType::Utf8, |known, args| {
            let name = string(args, 0).unwrap_or_default();
            let mut settings = known.settings.iter();
            match settings.find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some((_, value)) => Ok(text(value)),
                None if args.len() > 1 => Ok(ScalarValue::Utf8(None)),
                None => {
                    let message = format!("unrecognized configuration parameter \"{name}\"");
                    Err(error(ErrorKind::UndefinedObject, message))
                }
            }
        }),
        // Those that the session can carry out are literals by now.
        "set_config" => (DataType::Utf8, |_, _| {
            let message = "set_config() other than in the select list, with constants".to_string();
            Err(error(ErrorKind::FeatureNotSupported, message))
        }),
        "acldefault" => (list_of(DataType::Utf8), acl::default),
        // What is cast to a reg type is a number from there on: a name is looked up, a number stays.
        "regclass_of" => (DataType::Int64, regclass_in),
        "to_regclass" => (DataType::Int64, |known, args| {
            // A number is a name like others here.
            let found = string(args, 0).and_then(|name| relation_named(known, &name).ok());
            Ok(found.unwrap_or(ScalarValue::Int64(None)))
        }),
        "regclass_out" => (DataType::Utf8, regclass_out),
        "to_regtype" => (DataType::Int64, |known, args| {
            Ok(regtype_in(known, args).unwrap_or(ScalarValue::Int64(None)))
        }),
        "to_regproc" => (DataType::Int64, |_, args| {
            let found = string(args, 0).and_then(|name| pg_proc::regproc(&name).ok());
            Ok(ScalarValue::Int64(found))
        }),
        "to_regprocedure" => (DataType::Int64, |known, args| {
            Ok(regprocedure_in(known, args).unwrap_or(ScalarValue::Int64(None)))
        }),
        "to_regnamespace" => (DataType::Int64, |known, args| {
            let found = named(
                known.schemas(),
                args,
                "schema",
                ErrorKind::InvalidSchemaName,
            );
            Ok(found.unwrap_or(ScalarValue::Int64(None)))
        }),
        "to_regrole" => (DataType::Int64, |known, args| {
            let found = named(known.roles(), args, "role", ErrorKind::UndefinedObject);
            Ok(found.unwrap_or(ScalarValue::Int64(None)))
        }),
        "pg_acl_rows" => (list_of(DataType::Struct(acl::fields())), acl::rows),
        "oidvectortypes" => (DataType::Utf8, |known, args| {
            let Some(ScalarValue::List(oids)) = args.first().filter(|oids| !oids.is_null()) else {
                return Ok(ScalarValue::Utf8(None));
            };
            let oids = arrow::compute::cast(&oids.value(0), &DataType::Int64)?;
            let names = oids.as_primitive::<Int64Type>().iter();
            let names = names.map(|oid| format_type(known, &[ScalarValue::Int64(oid)]));
            let names: Vec<String> = names
                .map(|name| Ok(string(&[name?], 0).unwrap_or_default()))
                .collect::<Result<_>>()?;
            Ok(text(names.join(", ")))
        }),
        "pg_expanded" => (DataType::List(expanded_item()), |_, args| expanded(args)),
        "pg_expanded_x" => (list_of(DataType::Int64), |_, args| expanded_field(args, 0)),
        "pg_expanded_n" => (list_of(DataType::Int32), |_, args| expanded_field(args, 1)),
        "regnamespace_of" => (DataType::Int64, |known, args| {
            named(
                known.schemas(),
                args,
                "schema",
                ErrorKind::InvalidSchemaName,
            )
        }),
        "regrole_of" => (DataType::Int64, |known, args| {
            named(known.roles(), args, "role", ErrorKind::UndefinedObject)
        }),
        "regnamespace_out" => (DataType::Utf8, |known, args| {
            Ok(name_or_number(known.schemas(), args))
        }),
        "regrole_out" => (DataType::Utf8, |known, args| {
            Ok(name_or_number(known.roles(), args))
        }),
        "regprocedure_out" => (DataType::Utf8, |_, args| {
            let shown = |oid| match pg_proc::function(oid) {
                Some(function) => {
                    let types = function.argument_types.iter();
                    let types: Vec<_> = types.map(|ty| type_name(*ty, None)).collect();
                    format!("{}({})", identifier(&function.name), types.join(","))
                }
                None if oid == 0 => "-".to_string(),
                None => oid.to_string(),
            };
            Ok(ScalarValue::Utf8(oid(args, 0).map(shown)))
        }),
        "pg_get_function_result" => (DataType::Utf8, |_, args| {
            let function = oid(args, 0).and_then(pg_proc::function);
            Ok(ScalarValue::Utf8(
                function.map(|function| function.result.clone()),
            ))
        }),
        "pg_get_function_arguments" => (DataType::Utf8, |_, args| {
            let function = oid(args, 0).and_then(pg_proc::function);
            Ok(ScalarValue::Utf8(
                function.map(|function| function.arguments.clone()),
            ))
        }),
        "pg_get_function_identity_arguments" => (DataType::Utf8, |_, args| {
            let function = oid(args, 0).and_then(pg_proc::function);
            Ok(ScalarValue::Utf8(
                function.map(|function| function.identity.clone()),
            ))
        }),
        // 4: DELETE, 8: INSERT, 16: UPDATE, as PostgreSQL's CmdType counts them; a view takes none.
        "pg_relation_is_updatable" => (DataType::Int32, |known, args| {
            let class = oid(args, 0);
            let table = class.is_some_and(|class| known.tables().contains(&class));
            Ok(ScalarValue::Int32(
                class.map(|_| if table { 28 } else { 0 }),
            ))
        }),
        "pg_column_is_updatable" => (DataType::Boolean, |known, args| {
            let (Some(class), Some(column)) = (oid(args, 0), oid(args, 1)) else {
                return Ok(ScalarValue::Boolean(None));
            };
            let table = known.tables().contains(&class);
            Ok(ScalarValue::from(table && column > 0))
        }),
        "regoper_of" => (DataType::Int64, operators::regoper_in),
        "regoperator_of" => (DataType::Int64, operators::regoperator_in),
        "regoper_out" => (DataType::Utf8, operators::regoper_out),
        "regoperator_out" => (DataType::Utf8, operators::regoperator_out),
        "to_regoper" => (DataType::Int64, |known, args| {
            Ok(operators::regoper_in(known, args).unwrap_or(ScalarValue::Int64(None)))
        }),
        "to_regoperator" => (DataType::Int64, |known, args| {
            Ok(operators::regoperator_in(known, args).unwrap_or(ScalarValue::Int64(None)))
        }),
        "regtype_of" => (DataType::Int64, regtype_in),
        "regprocedure_of" => (DataType::Int64, regprocedure_in),
        "pg_relation_size" | "pg_table_size" | "pg_total_relation_size" => {
            (DataType::Int64, |known, args| {
                let class = match oid(args, 0) {
                    Some(oid) => Some(oid),
                    None => match regclass_in(known, args)? {
                        ScalarValue::Int64(oid) => oid,
                        _ => None,
                    },
                };
                let size = class.map(|class| size_of(&known.store, Measured::Table(class)));
                Ok(ScalarValue::Int64(size.transpose()?))
            })
        }
        // What is kept of indexes counts as the table's.
        "pg_indexes_size" => (DataType::Int64, |known, args| {
            let class = match oid(args, 0) {
                Some(oid) => ScalarValue::Int64(Some(oid)),
                None => regclass_in(known, args)?,
            };
            Ok(match class {
                ScalarValue::Int64(Some(_)) => ScalarValue::Int64(Some(0)),
                none => none,
            })
        }),
        "pg_database_size" => (DataType::Int64, |known, args| {
            let id = match (oid(args, 0), string(args, 0)) {
                (Some(id), _) => id,
                (None, None) => return Ok(ScalarValue::Int64(None)),
                (None, Some(name)) => {
                    let catalog = known.store.catalog();
                    let found = crate::ddl::database::find(&catalog, &name);
                    let found = found.map_err(|error| DataFusionError::External(Box::new(error)));
                    found?.id.oid().into()
                }
            };
            let size = size_of(&known.store, Measured::Database(id))?;
            Ok(ScalarValue::from(size))
        }),
        // Everything is in the one tablespace.
        "pg_tablespace_size" => (DataType::Int64, |known, _| {
            Ok(ScalarValue::from(size_of(&known.store, Measured::All)?))
        }),
        "pg_size_pretty" => (DataType::Utf8, |_, args| {
            Ok(ScalarValue::Utf8(size_shown(args)?))
        }),
        "pg_size_bytes" => (DataType::Int64, |_, args| {
            let bytes = string(args, 0).map(|written| size_bytes(&written));
            Ok(ScalarValue::Int64(bytes.transpose()?))
        }),
        "getdatabaseencoding" | "pg_client_encoding" => {
            (DataType::Utf8, |_, _| Ok(ScalarValue::from("UTF8")))
        }
        // By the numbers that PostgreSQL's pg_enc gives to encodings.
        "pg_encoding_max_length" => (DataType::Int32, |_, args| {
            Ok(ScalarValue::Int32(oid(args, 0).and_then(|of| match of {
                0 | 8..=34 => Some(1),
                35..=38 | 41 => Some(2),
                1 | 2 | 3 | 5 | 40 => Some(3),
                4 | 6 | 7 | 39 => Some(4),
                _ => None,
            })))
        }),
        "pg_sequence_last_value" => (DataType::Int64, |known, args| {
            let Some(class) = relation(known, args, 0)? else {
                return Ok(ScalarValue::Int64(None));
            };
            let last = known.sequence_of(class)?.map(|sequence| {
                let stands = stands(&known.store, sequence);
                stands.map_err(|error| DataFusionError::External(Box::new(error)))
            });
            let last = last.transpose()?.filter(|stands| stands.called);
            Ok(ScalarValue::Int64(last.map(|stands| stands.value)))
        }),
        "pg_char_to_encoding" => (DataType::Int32, |_, args| {
            let utf8 = string(args, 0).is_some_and(|name| {
                matches!(
                    name.to_ascii_lowercase().as_str(),
                    "utf8" | "utf-8" | "unicode"
                )
            });
            Ok(ScalarValue::from(if utf8 { 6_i32 } else { -1 }))
        }),
        "current_schemas" => {
            let item = Arc::new(Field::new("item", DataType::Utf8, true));
            (DataType::List(item), current_schemas)
        }
        name => return visible::function(name).or_else(|| privileges::function(name)),
    })
}

/// Whether indexes of an access method have a property; `None` where there is no such method or property.
fn method_has(args: &[ScalarValue]) -> Option<bool> {
    const BRIN: i64 = 3580;
    const BTREE: i64 = 403;
    const GIN: i64 = 2742;
    const GIST: i64 = 783;
    const HASH: i64 = 405;
    const SPGIST: i64 = 4000;
    let method = oid(args, 0)?;
    let with: &[i64] = match string(args, 1)?.to_lowercase().as_str() {
        "can_order" | "can_unique" => &[BTREE],
        "can_multi_col" => &[BTREE, GIST, GIN, BRIN],
        "can_exclude" => &[BTREE, HASH, GIST, SPGIST],
        "can_include" => &[BTREE, GIST, SPGIST],
        _ => return None,
    };
    let all = [BTREE, HASH, GIST, GIN, BRIN, SPGIST];
    all.contains(&method).then(|| with.contains(&method))
}
