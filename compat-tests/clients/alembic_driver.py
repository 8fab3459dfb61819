"""SQLAlchemy's reflection of all that is in several schemas, and Alembic's autogenerate there and back: nothing is to do after each step."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, ENUM, INET, INTERVAL, JSONB, UUID

# libpq's environment says where and as whom.
engine = sa.create_engine("postgresql+psycopg://")
OPTIONS = {"compare_type": True, "compare_server_default": True, "include_schemas": True}


def tables(version):
    """The tables of a version of an application."""
    meta = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    column, text = sa.Column, sa.text
    users = sa.Table(
        "users",
        meta,
        column("id", sa.Integer, sa.Identity(always=True, start=10), primary_key=True),
        column("uid", UUID, server_default=text("gen_random_uuid()")),
        column("email", sa.String(100 * version), nullable=False, unique=True, comment="the mail's"),
        column("role", sa.Enum("a", "b", name="role_e")),
        column("roles", ARRAY(ENUM("a", "b", name="role_e", create_type=False))),
        column("meta", JSONB, server_default="{}"),
        column("tags", ARRAY(sa.Text)),
        column("n", sa.Numeric(10, 2), server_default="0"),
        column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        column("clock", sa.Time),
        column("span", INTERVAL),
        column("bytes", BYTEA),
        column("ip", INET),
        column("ok", sa.Boolean, server_default=sa.false()),
        column("f", sa.Float),
        column("d", sa.Double),
        column("big", sa.BigInteger),
        column("small", sa.SmallInteger),
        column("day", sa.Date, server_default=text("CURRENT_DATE")),
        column("code", sa.CHAR(3), server_default="abc"),
        column("upper_code", sa.Text, sa.Computed("upper(code)", persisted=True)),
        *([column("new", sa.Integer, server_default="5", nullable=False)] if version == 2 else []),
        sa.CheckConstraint("n >= 0", name="n_pos"),
        comment="Users",
    )
    sa.Index("ix_low", sa.func.lower(users.c.email), unique=True)
    sa.Index("ix_part", users.c.n, postgresql_where=users.c.ok)
    sa.Index("ix_desc", users.c.role, users.c.n.desc())
    sa.Index("ix_inc", users.c.big, postgresql_include=["f"])
    to_user = sa.ForeignKey(
        "users.id", ondelete="CASCADE", onupdate="SET NULL", deferrable=True, initially="DEFERRED"
    )
    sa.Table(
        "posts",
        meta,
        column("id", sa.BigInteger, primary_key=True),
        column("user_id", to_user, index=True),
        column("title", sa.Text, nullable=version == 2),
        sa.UniqueConstraint("user_id", "title"),
    )
    sa.Table(
        "state",
        meta,
        column("k", sa.Text, primary_key=True),
        column("v", sa.Text),
        column("post", sa.ForeignKey("posts.id")),
        schema="side",
    )
    if version == 2:
        sa.Table(
            "extra",
            meta,
            column("a", sa.Integer, primary_key=True, autoincrement=False),
            column("b", sa.Integer, primary_key=True),
        )
    return meta


def check(meta):
    def is_ours(of, name, kind, reflected, other):
        return not (kind == "table" and of.schema == "tidelog")

    with engine.connect() as connection:
        options = {**OPTIONS, "include_object": is_ours}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), meta)
    assert found == [], found


def migrate(meta):
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        upgrade = produce_migrations(context, meta).upgrade_ops
        assert "def " not in render_python_code(upgrade)
        with Operations.context(context) as operations:
            for step in upgrade.ops:
                for operation in getattr(step, "ops", [step]):
                    operations.invoke(operation)


def reflect():
    """What an Inspector says of tables, views and types in two schemas, without what differs by nature."""
    inspector = sa.inspect(engine)
    assert {"side", "public", "information_schema"} <= set(inspector.get_schema_names())
    assert inspector.default_schema_name == "public"
    kinds = sa.engine.reflection.ObjectKind.ANY
    for schema in (None, "side"):
        for ask in (
            inspector.get_multi_columns,
            inspector.get_multi_pk_constraint,
            inspector.get_multi_foreign_keys,
            inspector.get_multi_indexes,
            inspector.get_multi_unique_constraints,
            inspector.get_multi_check_constraints,
            inspector.get_multi_table_comment,
            inspector.get_multi_table_options,
        ):
            found = ask(schema=schema, kind=kinds)
            assert {name for _, name in found} >= ({"users", "posts"} if schema is None else {"state"}), ask
    assert set(inspector.get_table_names()) >= {"users", "posts"}
    assert inspector.get_view_names("side") == ["named"]
    assert inspector.get_materialized_view_names("side") == ["counted"]
    assert "SELECT" in inspector.get_view_definition("named", "side")
    assert "numbers" in inspector.get_sequence_names("side")
    assert [(of["name"], of["labels"]) for of in inspector.get_enums()] == [("role_e", ["a", "b"])]
    assert inspector.get_domains() == []

    columns = {column["name"]: column for column in inspector.get_columns("users")}
    assert columns["id"]["identity"]["always"] and columns["id"]["identity"]["start"] == 10
    assert columns["upper_code"]["computed"]["persisted"]
    assert columns["email"]["comment"] == "the mail's"
    assert str(columns["n"]["type"]) == "NUMERIC(10, 2)"
    assert isinstance(columns["roles"]["type"], sa.ARRAY)
    assert inspector.get_pk_constraint("users")["constrained_columns"] == ["id"]
    [key] = inspector.get_foreign_keys("posts")
    assert key["options"] == {
        "ondelete": "CASCADE", "onupdate": "SET NULL", "deferrable": True, "initially": "DEFERRED",
    }, key
    indexes = {index["name"]: index for index in inspector.get_indexes("users")}
    assert indexes["ix_low"]["expressions"] == ["lower(email::text)"], indexes["ix_low"]
    assert indexes["ix_part"]["dialect_options"]["postgresql_where"] == "ok"
    assert indexes["ix_desc"]["column_sorting"] == {"n": ("desc",)}
    assert indexes["ix_inc"]["dialect_options"]["postgresql_include"] == ["f"]
    [check] = inspector.get_check_constraints("users")
    assert check["sqltext"].startswith("n >= "), check
    [unique] = inspector.get_unique_constraints("posts")
    assert unique["column_names"] == ["user_id", "title"]
    assert inspector.get_table_comment("users") == {"text": "Users"}

    reflected = sa.MetaData()
    reflected.reflect(engine, schema="side", views=True)
    assert {"side.state", "side.named", "side.counted"} <= set(reflected.tables)


first, second = tables(1), tables(2)
with engine.begin() as connection:
    connection.exec_driver_sql("CREATE SCHEMA side")
first.create_all(engine)
check(first)
with engine.begin() as connection:
    for made in (
        "CREATE VIEW side.named AS SELECT id, email FROM users",
        "CREATE MATERIALIZED VIEW side.counted AS SELECT count(*) AS n FROM posts",
        "CREATE SEQUENCE side.numbers",
    ):
        connection.exec_driver_sql(made)
reflect()
with engine.begin() as connection:
    connection.exec_driver_sql("DROP VIEW side.named")
    connection.exec_driver_sql("DROP MATERIALIZED VIEW side.counted")
migrate(second)
check(second)
with engine.begin() as connection:
    new = connection.execute(sa.insert(second.tables["users"]).values(email="a").returning(sa.text("id, new")))
    assert tuple(new.one()) == (10, 5)
migrate(first)
check(first)
print("ok")
