import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyIn;
import org.postgresql.util.PGInterval;
import org.postgresql.util.PGobject;
import org.postgresql.util.PSQLException;

/**
 * pgjdbc. Says how each check ended, for the test that started it to compare with PostgreSQL's.
 * Lines: `ok NAME: value`, `failed NAME: why`.
 */
class Jdbc {
    interface Check {
        Object run(Connection connection) throws Exception;
    }

    static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (String option : options) {
            String[] pair = option.split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        String where = System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection("jdbc:postgresql://" + where, properties);
    }

    /** Runs a check on a connection of its own; what it gives is to be the same on both servers. */
    static void check(String name, Check check, String... options) {
        String line;
        try (Connection connection = connect(options)) {
            line = "ok " + name + ": " + check.run(connection);
        } catch (Throwable error) {
            line = "failed " + name + ": " + error;
        }
        System.out.println(line.replaceAll("\\s+", " "));
    }

    static void run(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    static String show(Object value) throws SQLException {
        if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        } else if (value instanceof Array array) {
            return array.getBaseTypeName() + Arrays.deepToString((Object[]) array.getArray());
        }
        return String.valueOf(value);
    }

    /** All rows, but the columns named so. */
    static String rows(ResultSet result, String... without) throws SQLException {
        ResultSetMetaData columns = result.getMetaData();
        List<String> rows = new ArrayList<>();
        while (result.next()) {
            List<String> row = new ArrayList<>();
            for (int column = 1; column <= columns.getColumnCount(); column++) {
                if (!Arrays.asList(without).contains(columns.getColumnLabel(column))) {
                    row.add(show(result.getObject(column)));
                }
            }
            rows.add(row.toString());
        }
        result.close();
        return rows.toString();
    }

    static String query(Connection connection, String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int index = 0; index < parameters.length; index++) {
                statement.setObject(index + 1, parameters[index]);
            }
            return rows(statement.executeQuery());
        }
    }

    /** The SQLSTATE of a statement's error, its message, and what it is about. */
    static String error(Connection connection, String sql) {
        try {
            run(connection, sql);
            return "done";
        } catch (PSQLException error) {
            var server = error.getServerErrorMessage();
            return error.getSQLState() + " " + server.getMessage() + " " + server.getDetail() + " " + server.getTable() + "."
                    + server.getColumn() + "." + server.getConstraint() + " at " + server.getPosition();
        } catch (SQLException error) {
            return error.toString();
        }
    }

    static final String TYPES = """
            CREATE TABLE types (id int PRIMARY KEY, int2s smallint, int8s bigint, float4s real, float8s float8, numerics numeric,
            prices numeric(10, 2), texts text, varchars varchar(40), chars char(4), bools boolean, bytes bytea, dates date,
            times time, timetzs timetz, timestamps timestamp, timestamptzs timestamptz, intervals interval, uuids uuid,
            jsons json, jsonbs jsonb, inets inet, moods mood, ints int[], strings text[], decimals numeric[], stamps timestamptz[])""";

    static void insert(Connection connection, int id) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(
                "INSERT INTO types VALUES (?" + ", ?".repeat(26) + ") ON CONFLICT (id) DO UPDATE SET texts = excluded.texts")) {
            int at = 1;
            insert.setInt(at++, id);
            insert.setShort(at++, Short.MIN_VALUE);
            insert.setLong(at++, Long.MAX_VALUE);
            insert.setFloat(at++, 1.5f);
            insert.setDouble(at++, Double.MIN_VALUE);
            insert.setBigDecimal(at++, new BigDecimal("-12345678901234567890.01230"));
            insert.setBigDecimal(at++, new BigDecimal("12.3"));
            insert.setString(at++, "né 🌊 '\\\n");
            insert.setString(at++, "");
            insert.setString(at++, "ab");
            insert.setBoolean(at++, true);
            insert.setBytes(at++, new byte[] {0, -1, 92});
            insert.setObject(at++, LocalDate.of(1, 1, 1));
            insert.setObject(at++, LocalTime.of(23, 59, 59, 999_999_000));
            insert.setObject(at++, LocalTime.of(1, 2, 3).atOffset(ZoneOffset.ofHours(-3)));
            insert.setObject(at++, LocalDateTime.of(1969, 12, 31, 23, 59, 59, 999_999_000));
            insert.setObject(at++, OffsetDateTime.of(2024, 2, 29, 1, 2, 3, 456_789_000, ZoneOffset.ofHours(2)));
            insert.setObject(at++, new PGInterval(1, -2, 3, 4, 5, 6.5));
            insert.setObject(at++, new UUID(7, 8));
            insert.setObject(at++, "{\"a\" : 1}", Types.OTHER);
            insert.setObject(at++, "{\"a\" : [1, null]}", Types.OTHER);
            PGobject inet = new PGobject();
            inet.setType("inet");
            inet.setValue("10.0.0.1/8");
            insert.setObject(at++, inet);
            insert.setObject(at++, "happy", Types.OTHER);
            insert.setArray(at++, connection.createArrayOf("int4", new Object[] {1, null, -3}));
            insert.setArray(at++, connection.createArrayOf("text", new Object[] {"a,b", null, "\"", ""}));
            insert.setArray(at++, connection.createArrayOf("numeric", new Object[] {new BigDecimal("1.50"), null}));
            insert.setArray(at++, connection.createArrayOf("timestamptz", new Object[] {"2024-02-29 01:02:03+02"}));
            insert.executeUpdate();
        }
    }

    /** What is written comes back, so often that both sides are binary where the driver can, and by text. */
    static Object types(Connection connection) throws SQLException {
        String seen = null;
        for (int time = 0; time < 8; time++) {
            insert(connection, time % 3);
            String all = query(connection, "SELECT * FROM types WHERE id = ?", time % 3).replaceFirst("\\d", "id");
            if (seen != null && !seen.equals(all)) {
                throw new SQLException("at first " + seen + ", then " + all);
            }
            seen = all;
            String found = query(
                    connection,
                    """
                    SELECT count(*) FROM types WHERE int2s = ? AND int8s = ? AND float4s = ? AND float8s = ? AND prices = ?
                    AND texts = ? AND bools = ? AND dates = ? AND timestamps = ? AND timestamptzs = ? AND uuids = ?""",
                    Short.MIN_VALUE, Long.MAX_VALUE, 1.5f, Double.MIN_VALUE, new BigDecimal("12.30"), "né 🌊 '\\\n", true,
                    LocalDate.of(1, 1, 1), LocalDateTime.of(1969, 12, 31, 23, 59, 59, 999_999_000),
                    OffsetDateTime.of(2024, 2, 28, 23, 2, 3, 456_789_000, ZoneOffset.UTC), new UUID(7, 8));
            if (!found.equals("[[" + Math.min(time + 1, 3) + "]]")) {
                throw new SQLException("found " + found + " of them at " + time);
            }
        }
        run(connection, "DELETE FROM types");
        return seen;
    }

    static Object edges(Connection connection) throws SQLException {
        String sql = """
                SELECT 'NaN'::float8, '-Infinity'::float4, -0.0::float8, 0.000::numeric, 1e30::numeric, 1e-20::numeric,
                'infinity'::timestamp, '-infinity'::date, '0044-03-15 BC'::date, '9999-12-31 23:59:59'::timestamptz, '24:00'::time,
                ''::bytea, '{}'::int[], '{{1,2},{3,4}}'::bigint[], 'x'::"char", 'n'::name, 7::oid, '1 mon'::interval, NULL::int, NULL""";
        String seen = null;
        for (int time = 0; time < 7; time++) {
            String all = query(connection, sql);
            if (seen != null && !seen.equals(all)) {
                throw new SQLException("at first " + seen + ", then " + all);
            }
            seen = all;
        }
        return seen;
    }

    static Object preparedStatementsLive(Connection connection) throws SQLException {
        List<String> seen = new ArrayList<>();
        try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM grown WHERE a >= ? ORDER BY a")) {
            for (int time = 0; time < 12; time++) {
                if (time == 6) {
                    run(connection, "ALTER TABLE grown ADD COLUMN b text DEFAULT 'new'");
                }
                statement.setInt(1, time % 3);
                seen.add(rows(statement.executeQuery()));
            }
            seen.add(query(connection, "SELECT count(*) > 0 FROM pg_prepared_statements"));
        }
        run(connection, "DISCARD ALL");
        seen.add(query(connection, "SELECT count(*) FROM grown"));
        return seen;
    }

    static Object batches(Connection connection) throws SQLException {
        List<Object> seen = new ArrayList<>();
        run(connection, "CREATE TABLE batch (id bigint GENERATED ALWAYS AS IDENTITY (START 100) PRIMARY KEY, a int UNIQUE, b text)");
        String sql = "INSERT INTO batch (a, b) VALUES (?, ?)";
        try (PreparedStatement insert = connection.prepareStatement(sql, Statement.RETURN_GENERATED_KEYS)) {
            for (int row = 0; row < 300; row++) {
                insert.setInt(1, row);
                insert.setString(2, "n" + row);
                insert.addBatch();
            }
            seen.add(Arrays.stream(insert.executeBatch()).sum());
            String keys = rows(insert.getGeneratedKeys());
            seen.add(keys.substring(0, 40) + " " + keys.length());
        }
        try (PreparedStatement insert = connection.prepareStatement(sql, new String[] {"id", "b"})) {
            for (int row = 300; row < 303; row++) {
                insert.setInt(1, row);
                insert.setString(2, null);
                insert.addBatch();
            }
            seen.add(Arrays.toString(insert.executeBatch()));
            seen.add(rows(insert.getGeneratedKeys()));
        }
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement(sql)) {
            for (int row : new int[] {1000, 1001, 5, 1002}) {
                insert.setInt(1, row);
                insert.setString(2, "");
                insert.addBatch();
            }
            insert.executeBatch();
        } catch (BatchUpdateException error) {
            seen.add(error.getSQLState() + Arrays.toString(error.getUpdateCounts()));
        }
        connection.rollback();
        connection.setAutoCommit(true);
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("UPDATE batch SET b = 'u' WHERE a < 10");
            statement.addBatch("DELETE FROM batch WHERE a >= 200");
            statement.addBatch("INSERT INTO batch (a) VALUES (2000), (2001)");
            seen.add(Arrays.toString(statement.executeBatch()));
        }
        seen.add(query(connection, "SELECT count(*), sum(a), max(id) > 400 FROM batch"));
        run(connection, "DROP TABLE batch");
        return seen;
    }

    static Object cursors(Connection connection) throws SQLException {
        List<Object> seen = new ArrayList<>();
        connection.setAutoCommit(false);
        run(connection, "CREATE TEMPORARY TABLE numbers AS SELECT g, g * 1.5 AS half FROM generate_series(1, 1000) g");
        try (PreparedStatement outer = connection.prepareStatement("SELECT g, half FROM numbers WHERE g > ? ORDER BY g");
                PreparedStatement inner = connection.prepareStatement("SELECT count(*) FROM numbers WHERE g < ?")) {
            outer.setFetchSize(7);
            outer.setInt(1, 10);
            long sum = 0;
            ResultSet result = outer.executeQuery();
            while (result.next()) {
                sum += result.getInt(1);
                if (result.getInt(1) % 200 == 0) {
                    // Another statement between two fetches of the portal.
                    inner.setInt(1, result.getInt(1));
                    seen.add(rows(inner.executeQuery()));
                }
            }
            seen.add(sum);
        }
        try (Statement scrolled = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
            ResultSet result = scrolled.executeQuery("SELECT g FROM numbers ORDER BY g DESC");
            result.last();
            seen.add(result.getRow());
            result.absolute(5);
            result.previous();
            seen.add(result.getInt(1));
        }
        try (Statement few = connection.createStatement()) {
            few.setMaxRows(3);
            seen.add(rows(few.executeQuery("SELECT g FROM numbers ORDER BY g")));
        }
        connection.commit();
        return seen;
    }

    static Object updatable(Connection connection) throws SQLException {
        run(connection, "CREATE TABLE live (id int PRIMARY KEY, name text, price numeric(8, 2))", "INSERT INTO live VALUES (1, 'a', 1), (2, 'b', 2)");
        try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
            ResultSet result = statement.executeQuery("SELECT id, name, price FROM live ORDER BY id");
            result.next();
            result.updateString("name", "changed");
            result.updateRow();
            result.next();
            result.deleteRow();
            result.moveToInsertRow();
            result.updateInt(1, 3);
            result.updateBigDecimal(3, new BigDecimal("9.99"));
            result.insertRow();
        }
        String seen = query(connection, "SELECT * FROM live ORDER BY id");
        run(connection, "DROP TABLE live");
        return seen;
    }

    static Object copies(Connection connection) throws Exception {
        List<Object> seen = new ArrayList<>();
        run(connection, "CREATE TABLE copied (a int PRIMARY KEY, b text)");
        var copy = connection.unwrap(PGConnection.class).getCopyAPI();
        seen.add(copy.copyIn("COPY copied FROM STDIN WITH (FORMAT csv, HEADER)", new StringReader("a,b\n1,one\n2,\"t,\"\"w\n o\"\n3,\n")));
        seen.add(copy.copyIn("COPY copied (a) FROM STDIN", new StringReader("4\n5\n")));
        StringWriter text = new StringWriter();
        seen.add(copy.copyOut("COPY (SELECT * FROM copied ORDER BY a) TO STDOUT", text));
        seen.add(text);
        CopyIn given_up = copy.copyIn("COPY copied FROM STDIN");
        byte[] row = "6\tsix\n".getBytes();
        given_up.writeToCopy(row, 0, row.length);
        given_up.cancelCopy();
        for (String bad : new String[] {"7\tx\n1\ty\n", "x\ty\n", "8\n"}) {
            try {
                seen.add(copy.copyIn("COPY copied FROM STDIN", new StringReader(bad)));
            } catch (PSQLException error) {
                seen.add(error.getSQLState() + error.getServerErrorMessage().getWhere());
            }
        }
        seen.add(query(connection, "SELECT count(*), sum(a) FROM copied"));
        run(connection, "DROP TABLE copied");
        return seen;
    }

    static Object notifications(Connection connection) throws SQLException {
        run(connection, "LISTEN chat", "LISTEN \"Odd Name\"");
        try (Connection other = connect()) {
            run(other, "NOTIFY chat, 'hello'", "SELECT pg_notify('Odd Name', 'é')", "NOTIFY silent");
        }
        List<String> seen = new ArrayList<>();
        while (seen.size() < 2) {
            PGNotification[] heard = connection.unwrap(PGConnection.class).getNotifications(60_000);
            if (heard == null || heard.length == 0) {
                throw new SQLException("nothing more came after " + seen);
            }
            for (PGNotification notification : heard) {
                seen.add(notification.getName() + " " + notification.getParameter());
            }
        }
        return seen;
    }

    static Object cancels(Connection connection) throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Statement sleeper = connection.createStatement(); Connection other = connect()) {
            Thread canceller = new Thread(() -> {
                try {
                    String running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'";
                    while (query(other, running).equals("[[0]]")) {
                        Thread.onSpinWait();
                    }
                    sleeper.cancel();
                } catch (SQLException error) {
                    System.err.println(error);
                }
            });
            canceller.start();
            try {
                sleeper.execute("SELECT pg_sleep(61)");
            } catch (SQLException error) {
                seen.add(error.getSQLState());
            }
            canceller.join();
            sleeper.setQueryTimeout(1);
            try {
                sleeper.execute("SELECT pg_sleep(61)");
            } catch (SQLException error) {
                seen.add(error.getSQLState());
            }
        }
        seen.add(query(connection, "SELECT 'goes on'"));
        return seen;
    }

    static Object savepoints(Connection connection) throws SQLException {
        List<String> seen = new ArrayList<>();
        connection.setAutoCommit(false);
        run(connection, "CREATE TEMPORARY TABLE saved (a int PRIMARY KEY)", "INSERT INTO saved VALUES (1)");
        Savepoint first = connection.setSavepoint();
        run(connection, "INSERT INTO saved VALUES (2)");
        Savepoint second = connection.setSavepoint("a \"name");
        seen.add(error(connection, "INSERT INTO saved VALUES (1)"));
        seen.add(error(connection, "SELECT 1"));
        connection.rollback(second);
        run(connection, "INSERT INTO saved VALUES (3)");
        seen.add(query(connection, "SELECT * FROM saved ORDER BY a"));
        connection.releaseSavepoint(second);
        connection.rollback(first);
        seen.add(query(connection, "SELECT * FROM saved ORDER BY a"));
        connection.commit();
        seen.add(query(connection, "SELECT * FROM saved"));
        return seen;
    }

    static Object states(Connection connection) {
        List<String> seen = new ArrayList<>();
        for (String sql : new String[] {
            "SELECT * FROM no_such", "SELECT no_such FROM parent", "SELEC 1", "SELECT no_such(1)", "SELECT 'abc'::int", "SELECT 1/0",
            "SELECT 2147483647 + 1", "INSERT INTO parent (a, name) VALUES (1, 'again')", "INSERT INTO parent (a) VALUES (9)",
            "INSERT INTO child VALUES (1, 99)", "DELETE FROM parent", "INSERT INTO parent VALUES (9, 'x', -1)",
            "CREATE TABLE parent (a int)", "DROP TABLE no_such", "SELECT '2024-13-01'::date", "SELECT 1 FROM parent GROUP BY",
            "INSERT INTO parent VALUES (9, repeat('x', 41))", "SET work_mem = 'lots'", "SELECT a, count(*) FROM parent",
            "SELECT 1 UNION SELECT 'x'", "SELECT name = 1 FROM parent", "ROLLBACK TO nowhere", "FETCH nothing",
        }) {
            seen.add(error(connection, sql));
        }
        return seen;
    }

    static Object results(Connection connection) throws SQLException {
        List<Object> seen = new ArrayList<>();
        try (Statement statement = connection.createStatement()) {
            boolean rows = statement.execute("SELECT 1; UPDATE parent SET name = name; SELECT 2, 3; INSERT INTO parent VALUES (50, 'x'); DELETE FROM parent WHERE a = 50");
            while (rows || statement.getUpdateCount() != -1) {
                seen.add(rows ? rows(statement.getResultSet()) : statement.getUpdateCount());
                rows = statement.getMoreResults();
            }
            run(connection, "DROP TABLE IF EXISTS no_such");
            statement.execute("DROP TABLE IF EXISTS no_such");
            seen.add(statement.getWarnings().getSQLState() + statement.getWarnings().getMessage());
        }
        seen.add(query(connection, "SELECT {fn ucase('abc')}, {d '2024-01-02'}, {ts '2024-01-02 03:04:05'}, {fn timestampdiff(SQL_TSI_DAY, {ts '2024-01-02 03:04:05'}, {ts '2024-01-05 03:04:05'})}"));
        return seen;
    }

    static Object calls(Connection connection) throws SQLException {
        try (CallableStatement call = connection.prepareCall("{? = call upper(?)}")) {
            call.registerOutParameter(1, Types.VARCHAR);
            call.setString(2, "called");
            call.execute();
            return call.getString(1);
        }
    }

    static Object described(Connection connection) throws SQLException {
        List<Object> seen = new ArrayList<>();
        try (PreparedStatement statement = connection.prepareStatement("SELECT a AS x, name, price, count(*) OVER () FROM parent WHERE a = ? AND price > ? AND name LIKE ?")) {
            ParameterMetaData parameters = statement.getParameterMetaData();
            for (int at = 1; at <= parameters.getParameterCount(); at++) {
                seen.add(parameters.getParameterTypeName(at) + " " + parameters.getParameterClassName(at));
            }
            ResultSetMetaData columns = statement.getMetaData();
            for (int at = 1; at <= columns.getColumnCount(); at++) {
                seen.add(List.of(columns.getColumnLabel(at), columns.getColumnTypeName(at), columns.getPrecision(at), columns.getScale(at),
                        columns.getTableName(at), columns.isNullable(at), columns.isAutoIncrement(at), columns.getColumnDisplaySize(at)));
            }
        }
        return seen;
    }

    static Object settings(Connection connection) throws SQLException {
        List<Object> seen = new ArrayList<>();
        for (int level : new int[] {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE}) {
            connection.setTransactionIsolation(level);
            seen.add(connection.getTransactionIsolation() == level);
        }
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        seen.add(error(connection, "INSERT INTO parent VALUES (70, 'x')"));
        connection.rollback();
        connection.setReadOnly(false);
        connection.setClientInfo("ApplicationName", "probe");
        connection.setSchema("other");
        seen.add(connection.getSchema());
        seen.add(query(connection, "SELECT current_schema(), current_setting('application_name'), current_setting('DateStyle'), current_setting('extra_float_digits')"));
        connection.commit();
        seen.add(connection.isValid(5));
        return seen;
    }

    interface Listing {
        ResultSet list(DatabaseMetaData about) throws SQLException;
    }

    static void listing(String name, Listing listing, String... without) {
        check("metadata_" + name, connection -> rows(listing.list(connection.getMetaData()), without));
    }

    static void metadata() {
        listing("tables", about -> about.getTables(null, "public", "%", new String[] {"TABLE", "VIEW", "INDEX", "SEQUENCE", "TYPE"}));
        listing("tables_anywhere", about -> about.getTables(null, null, "chi_d", null));
        listing("columns_parent", about -> about.getColumns(null, "public", "parent", "%"));
        listing("columns_child", about -> about.getColumns(null, null, "child", null));
        listing("columns_types", about -> about.getColumns(null, "public", "types", null));
        listing("columns_view", about -> about.getColumns(null, "public", "names", null));
        listing("primary_keys", about -> about.getPrimaryKeys(null, "public", "parent"));
        listing("primary_keys_of_two", about -> about.getPrimaryKeys(null, null, "child"));
        listing("imported_keys", about -> about.getImportedKeys(null, "public", "child"));
        listing("exported_keys", about -> about.getExportedKeys(null, "public", "parent"));
        listing("cross_reference", about -> about.getCrossReference(null, "public", "parent", null, "public", "child"));
        listing("indexes", about -> about.getIndexInfo(null, "public", "parent", false, true), "CARDINALITY", "PAGES");
        listing("unique_indexes", about -> about.getIndexInfo(null, "public", "child", true, true), "CARDINALITY", "PAGES");
        listing("best_row", about -> about.getBestRowIdentifier(null, "public", "child", DatabaseMetaData.bestRowSession, false));
        listing("version_columns", about -> about.getVersionColumns(null, "public", "parent"));
        listing("schemas", about -> about.getSchemas(null, "%o%"));
        listing("catalogs", DatabaseMetaData::getCatalogs);
        listing("table_types", DatabaseMetaData::getTableTypes);
        listing("client_info", DatabaseMetaData::getClientInfoProperties);
        listing("udts", about -> about.getUDTs(null, "public", "%", null));
        listing("functions", about -> about.getFunctions(null, "pg_catalog", "to_char"), "SPECIFIC_NAME");
        listing("procedures", about -> about.getProcedures(null, "public", "%"));
        listing("function_columns", about -> about.getFunctionColumns(null, "pg_catalog", "make_date", "%"), "SPECIFIC_NAME");
        // Everything belongs to the superusers, whoever made it.
        listing("table_privileges", about -> about.getTablePrivileges(null, "public", "parent"), "GRANTOR", "GRANTEE");
        check("metadata_type_info", connection -> {
            List<String> known = new ArrayList<>();
            ResultSet types = connection.getMetaData().getTypeInfo();
            while (types.next()) {
                String name = types.getString("TYPE_NAME");
                if (List.of("int4", "text", "_text", "numeric", "timestamptz", "bytea", "mood", "_mood", "serial", "bool").contains(name)) {
                    known.add(name + " " + types.getInt("DATA_TYPE") + " " + types.getInt("PRECISION") + " " + types.getBoolean("AUTO_INCREMENT"));
                }
            }
            known.sort(null);
            return known;
        });
        check("metadata_of_the_server", connection -> {
            DatabaseMetaData about = connection.getMetaData();
            return List.of(about.getDatabaseProductName(), about.getDatabaseMajorVersion(), about.getMaxColumnNameLength(), about.getUserName(),
                    about.getDefaultTransactionIsolation(), about.supportsSavepoints(), about.storesLowerCaseIdentifiers(), about.getMaxIndexLength(),
                    about.getSQLKeywords().length() > 100);
        });
    }

    public static void main(String[] arguments) throws SQLException {
        try (Connection connection = connect()) {
            run(connection, "CREATE TYPE mood AS ENUM ('sad', 'happy')", TYPES, "CREATE SCHEMA other",
                    "CREATE TABLE parent (a int PRIMARY KEY, name varchar(40) NOT NULL, price numeric(10, 2) DEFAULT 1.50 CHECK (price > 0), made timestamptz DEFAULT '2026-01-02 03:04:05+00', UNIQUE (name, price))",
                    "CREATE TABLE child (line serial, parent int REFERENCES parent ON DELETE RESTRICT ON UPDATE CASCADE, note text, PRIMARY KEY (parent, line))",
                    "CREATE INDEX parent_lower ON parent (lower(name), a DESC)", "CREATE INDEX parent_dear ON parent (price) WHERE price > 100",
                    "CREATE VIEW names AS SELECT name, count(*) AS n FROM parent GROUP BY name", "COMMENT ON TABLE parent IS 'has children'",
                    "COMMENT ON COLUMN parent.price IS 'in euros'", "INSERT INTO parent VALUES (1, 'one'), (2, 'two')", "INSERT INTO child VALUES (1, 1)",
                    "CREATE TABLE grown (a int)", "INSERT INTO grown VALUES (1), (2)");
        }
        check("types_by_default", Jdbc::types);
        check("types_prepared_at_once", Jdbc::types, "prepareThreshold=1");
        check("types_binary_from_the_first", Jdbc::types, "prepareThreshold=-1");
        check("types_by_text", Jdbc::types, "binaryTransfer=false");
        check("types_with_everything_cached", Jdbc::types, "preferQueryMode=extendedCacheEverything");
        check("types_without_a_type_of_strings", Jdbc::types, "stringtype=unspecified");
        check("edges_by_default", Jdbc::edges);
        check("edges_binary_from_the_first", Jdbc::edges, "prepareThreshold=-1");
        check("edges_by_text", Jdbc::edges, "binaryTransfer=false");
        check("edges_in_simple_queries", Jdbc::edges, "preferQueryMode=simple");
        check("prepared_statements_live", Jdbc::preparedStatementsLive, "autosave=conservative");
        check("batches", Jdbc::batches);
        check("batches_rewritten", Jdbc::batches, "reWriteBatchedInserts=true");
        check("batches_in_simple_queries", Jdbc::batches, "preferQueryMode=simple");
        check("cursors", Jdbc::cursors);
        check("cursors_by_text", Jdbc::cursors, "binaryTransfer=false", "adaptiveFetch=true");
        check("updatable_results", Jdbc::updatable);
        check("copies", Jdbc::copies);
        check("notifications", Jdbc::notifications);
        check("cancels", Jdbc::cancels);
        check("savepoints", Jdbc::savepoints);
        check("savepoints_of_the_driver", Jdbc::savepoints, "autosave=always");
        check("states", Jdbc::states);
        check("results", Jdbc::results);
        check("calls", Jdbc::calls);
        check("described", Jdbc::described);
        check("settings", Jdbc::settings, "options=-c statement_timeout=60s", "currentSchema=public,other");
        metadata();
    }
}
