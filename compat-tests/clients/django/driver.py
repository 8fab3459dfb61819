"""Django on a sample app: its migrations there and back, its tests' transactions, its queries, its fixtures."""

import datetime
import decimal
import io
import json
import os
import sys
import tempfile
import uuid

sys.dont_write_bytecode = True
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window
from django.db.models.functions import Coalesce, Concat, Lower, RowNumber, TruncMonth
from django.db.models.lookups import GreaterThan
from django.test import TestCase
from django.test.runner import DiscoverRunner

from shop.models import Category, Product, Review, Supplier, Tag

UTC = datetime.timezone.utc
AT = datetime.datetime(2026, 1, 15, 23, 30, tzinfo=UTC)


def migrate():
    """Forwards, back and forwards again; what the catalogs then say is what the models are."""
    call_command("migrate", "shop", "0003", verbosity=0)
    assert connection.introspection.table_names().count("shop_tag") == 1
    call_command("migrate", "shop", "zero", verbosity=0)
    assert "shop_tag" not in connection.introspection.table_names()
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "shop_product")
        relations = connection.introspection.get_relations(cursor, "shop_product")
    assert relations == {
        "category_id": ("id", "shop_category"),
        "supplier_id": ("id", "shop_supplier"),
    }, relations
    assert constraints["name_price"]["orders"] == ["ASC", "DESC"], constraints["name_price"]
    assert [c["columns"] for c in constraints.values() if c["unique"] and not c["primary_key"]] == [
        ["sku", "category_id"]
    ]
    assert Permission.objects.filter(codename="view_product").count() == 1
    out = io.StringIO()
    call_command("inspectdb", "shop_product", stdout=out)
    assert "category = models.ForeignKey('ShopCategory', models.DO_NOTHING)" in out.getvalue(), out.getvalue()
    empty()


def empty():
    """Takes away the rows that the migrations made."""
    for model in (Product, Category, Tag):
        model.objects.all().delete()


class Shop(TestCase):
    """Each test is rolled back, and what it deferred is checked before."""

    @classmethod
    def setUpTestData(cls):
        root = Category.objects.create(name="all", label="all")
        cls.categories = [Category.objects.create(name=name, label=name, parent=root) for name in ("books", "toys")]
        suppliers = [Supplier(id=uuid.UUID(int=n), name=f"S{n}", ip=f"10.0.0.{n}") for n in (1, 2)]
        cls.suppliers = Supplier.objects.bulk_create(suppliers)
        tags = Tag.objects.bulk_create(Tag(name=name) for name in ("new", "sale", "Ünï"))
        cls.products = Product.objects.bulk_create(
            Product(
                sku=f"s{n}",
                name=f"Product {n}",
                category=cls.categories[n % 2],
                supplier=cls.suppliers[n % 3] if n % 3 < 2 else None,
                price=decimal.Decimal(n) * decimal.Decimal("1.25"),
                stock=10 * n,
                active=n % 2 == 0,
                data={"size": n, "tags": ["a", f"t{n % 3}"], "deep": {"x": n % 4}, "none": None},
                released=datetime.date(2025, 1 + n, 28) if n % 4 else None,
                shelf=datetime.timedelta(days=n, hours=3),
                codes=[n, n + 1],
            )
            for n in range(1, 11)
        )
        for n, product in enumerate(cls.products):
            product.tags.set(tags[: n % 4])
        cls.user = User.objects.create_user("ann", "ann@example.com", "secret")
        for n, product in enumerate(cls.products[:6]):
            at = AT + datetime.timedelta(days=10 * n)
            Review.objects.create(product=product, author=cls.user, stars=n % 5 + 1, at=at)
            Review.objects.create(product=product, stars=5, at=at + datetime.timedelta(hours=1))

    def numbers(self, products):
        return sorted(int(product.sku[1:]) for product in products)

    def test_rows_come_back_as_they_went(self):
        product = Product.objects.get(sku="s3")
        self.assertEqual(product.price, decimal.Decimal("3.75"))
        self.assertEqual(product.data, {"size": 3, "tags": ["a", "t0"], "deep": {"x": 3}, "none": None})
        self.assertEqual(product.shelf, datetime.timedelta(days=3, hours=3))
        self.assertEqual(product.codes, [3, 4])
        self.assertEqual(product.supplier, self.suppliers[0])
        self.assertTrue(self.user.check_password("secret"))

    def test_filters(self):
        objects = Product.objects
        for expected, condition in [
            ([4, 5, 6, 7, 8, 9, 10], Q(stock__gt=30)),
            ([2, 3, 4, 6, 8, 10], Q(active=True) | Q(sku="s3")),
            ([1, 2, 4, 6, 8, 10], Q(active=True) ^ Q(sku="s1")),
            ([1, 10], Q(name__icontains="PRODUCT 1")),
            ([7], Q(name__regex=r"7$")),
            ([1, 5, 9], Q(data__deep__x=1)),
            ([2, 5, 8], Q(data__tags__1="t2")),
            ([1, 4, 7, 10], Q(data__contains={"tags": ["t1"]})),
            ([], Q(data__has_key="nothing")),
            ([2, 3], Q(codes__contains=[3])),
            ([4, 8], Q(released__isnull=True)),
            ([5], Q(released__month=6)),
            ([1, 5, 9], Q(tags=None)),
            ([3, 6, 9], Q(supplier__ip="10.0.0.1")),
            ([1, 2, 3, 4, 5], GreaterThan(Value(decimal.Decimal("7.5")), F("price"))),
        ]:
            self.assertEqual(self.numbers(objects.filter(condition)), expected, condition)
        self.assertEqual(self.numbers(objects.exclude(tags__name="new")), [1, 5, 9])
        self.assertEqual(self.numbers(objects.filter(tags__name="new").filter(tags__name="sale")), [3, 4, 7, 8])

    def test_aggregates_and_windows(self):
        counts = Category.objects.annotate(n=Count("product"), s=Sum("product__stock")).order_by("id")
        self.assertEqual(list(counts.values_list("n", "s")), [(0, None), (5, 300), (5, 250)])
        found = Product.objects.aggregate(Avg("price"), n=Count("id", filter=Q(active=True)))
        self.assertEqual(found, {"price__avg": decimal.Decimal("6.875"), "n": 5})
        self.assertEqual(Product.objects.aggregate(n=Count("tags")), {"n": 13})
        months = Review.objects.annotate(m=TruncMonth("at")).values("m").annotate(n=Count("id")).order_by("m")
        self.assertEqual([(row["m"].month, row["n"]) for row in months], [(1, 4), (2, 6), (3, 2)])
        kinds = Case(When(price__lt=5, then=Value("cheap")), default=Value("dear"))
        kinds = Product.objects.annotate(kind=kinds).values("kind").annotate(n=Count("id")).order_by("kind")
        self.assertEqual([(row["kind"], row["n"]) for row in kinds], [("cheap", 3), ("dear", 7)])
        row = Window(RowNumber(), partition_by="category", order_by="-price")
        first = Product.objects.annotate(row=row).filter(row=1).order_by("id")
        self.assertEqual([product.sku for product in first], ["s9", "s10"])

    def test_subqueries_and_relations(self):
        newest = Review.objects.filter(product=OuterRef("pk")).order_by("-at", "-id")
        products = Product.objects.annotate(
            last=Subquery(newest.filter(author=self.user.id).values("stars")[:1]),
            reviewed=Exists(newest),
            shown=Concat(Lower("name"), Value("!")),
            known=Coalesce("supplier__name", Value("nobody")),
        ).order_by("id")
        self.assertEqual([p.last for p in products], [1, 2, 3, 4, 5, 1, None, None, None, None])
        self.assertEqual([p.reviewed for p in products], 6 * [True] + 4 * [False])
        self.assertEqual((products[1].shown, products[1].known), ("product 2!", "nobody"))
        best = Prefetch("review_set", Review.objects.order_by("-stars", "at"), to_attr="best")
        with self.assertNumQueries(3):
            products = list(Product.objects.select_related("category").prefetch_related("tags", best).order_by("id"))
            self.assertEqual([p.category.name for p in products[:2]], ["toys", "books"])
            self.assertEqual([len(p.tags.all()) for p in products[:5]], [0, 1, 2, 3, 0])
            self.assertEqual([r.stars for r in products[0].best], [5, 1])
        of_each = Review.objects.order_by("product", "-stars").distinct("product").values_list("stars", flat=True)
        self.assertEqual(list(of_each), [5] * 6)

    def test_changes(self):
        Product.objects.filter(sku="s1").update(stock=F("stock") + 5, data={"a": [1, None, "x"]})
        self.assertEqual(Product.objects.get(sku="s1").stock, 15)
        books = [Category(name="books", label="changed"), Category(name="more", label="more")]
        Category.objects.bulk_create(
            books, update_conflicts=True, unique_fields=["name"], update_fields=["label"]
        )
        self.assertEqual(Category.objects.get(name="books").label, "changed")
        more, made = Category.objects.get_or_create(name="more", defaults={"label": "not this"})
        self.assertEqual((more.label, made), ("more", False))
        for product in self.products:
            product.price += 1
            product.released = None
        self.assertEqual(Product.objects.bulk_update(self.products, ["price", "released", "data"]), 10)
        self.assertEqual(Product.objects.filter(price__gte=11).count(), 3)
        deleted, each = Product.objects.filter(sku__in=["s1", "s2"]).delete()
        self.assertEqual((deleted, each["shop.Review"]), (7, 4))

    def test_transactions(self):
        with transaction.atomic():
            with self.assertRaises(IntegrityError), transaction.atomic():
                Category.objects.create(name="inside", label="x")
                Category.objects.create(name="toys", label="twice")
            locked = Product.objects.select_for_update(skip_locked=True).filter(stock__lt=30)
            self.assertEqual(self.numbers(locked), [1, 2])
        self.assertFalse(Category.objects.filter(name="inside").exists())
        with self.assertRaisesMessage(IntegrityError, "is not present in table"), transaction.atomic():
            Review.objects.create(product_id=-1, stars=1, at=AT)
            connection.check_constraints()
        # The child comes first.
        Review.objects.create(product_id=1000, stars=1, at=AT)
        Product.objects.create(id=1000, sku="late", name="late", category=self.categories[0], price=1)
        connection.check_constraints()


class Committed(TestCase):
    def test_fixtures_come_in_any_order(self):
        category = Category.objects.create(name="dumped", label="d")
        product = Product.objects.create(sku="d", name="d", category=category, price="2.50")
        product.tags.add(Tag.objects.create(name="d"))
        Review.objects.create(product=product, stars=3, at=AT)
        out = io.StringIO()
        call_command("dumpdata", "shop", stdout=out)
        rows = json.loads(out.getvalue())
        for model in (Review, Product, Category, Tag):
            model.objects.all().delete()
        with tempfile.NamedTemporaryFile("w", suffix=".json") as fixture:
            json.dump(rows[::-1], fixture)
            fixture.flush()
            call_command("loaddata", fixture.name, verbosity=0)
        again = io.StringIO()
        call_command("dumpdata", "shop", stdout=again)
        self.assertEqual(json.loads(again.getvalue()), rows)


def commits():
    """What the end of a transaction says, which no test above comes to."""
    try:
        with transaction.atomic():
            Review.objects.create(product_id=-1, stars=1, at=AT)
        raise SystemExit("a review of nothing was committed")
    except IntegrityError as error:
        assert "is not present in table" in str(error), error
    assert Review.objects.count() == 0
    call_command("flush", interactive=False, verbosity=0)
    # The number is the first again.
    assert Category.objects.create(name="first", label="f").pk == 1


def databases():
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


migrate()
runner = DiscoverRunner(verbosity=0)
suite = runner.test_suite()
for case in (Shop, Committed):
    suite.addTests(runner.test_loader.loadTestsFromTestCase(case))
runner.setup_test_environment()
# A database of its own: made, migrated, dropped.
found = runner.setup_databases()
assert databases() == ["postgres", "test_postgres"], databases()
assert connection.settings_dict["NAME"] == "test_postgres"
empty()
result = runner.run_suite(suite)
if not result.wasSuccessful():
    raise SystemExit("tests failed")
runner.teardown_databases(found)
assert databases() == ["postgres"], databases()
runner.teardown_test_environment()
commits()
print("ok")
