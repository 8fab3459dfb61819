"""Rows that the migrations behind this one alter the tables of."""

from django.db import migrations


def fill(apps, schema_editor):
    category = apps.get_model("shop", "Category").objects.create(name="migrated", slug="m")
    product = apps.get_model("shop", "Product").objects.create(sku="m", name="m", category=category, price="1.5")
    product.tags.add(apps.get_model("shop", "Label").objects.create(name="m"))


def empty(apps, schema_editor):
    apps.get_model("shop", "Product").objects.all().delete()
    apps.get_model("shop", "Category").objects.all().delete()
    apps.get_model("shop", "Label").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(fill, empty)]
