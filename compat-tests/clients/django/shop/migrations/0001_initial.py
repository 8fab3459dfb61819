import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Category",
            [
                ("id", ID),
                ("name", models.CharField(max_length=50, unique=True)),
                ("slug", models.SlugField()),
                ("parent", models.ForeignKey("shop.category", django.db.models.deletion.CASCADE, null=True)),
            ],
        ),
        migrations.CreateModel(
            "Supplier",
            [
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("ip", models.GenericIPAddressField(null=True)),
            ],
        ),
        migrations.CreateModel("Label", [("name", models.CharField(max_length=30, primary_key=True, serialize=False))]),
        migrations.CreateModel(
            "Product",
            [
                ("id", ID),
                ("sku", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=100)),
                ("price", models.DecimalField(decimal_places=2, max_digits=10)),
                ("stock", models.PositiveSmallIntegerField(default=0)),
                ("active", models.BooleanField(default=True)),
                ("data", models.JSONField(default=dict)),
                ("released", models.DateField(null=True)),
                ("shelf", models.DurationField(null=True)),
                ("codes", django.contrib.postgres.fields.ArrayField(models.IntegerField(), default=list)),
                ("tags", models.ManyToManyField("shop.label")),
            ],
        ),
        migrations.AddField(
            "product", "category", models.ForeignKey("shop.category", django.db.models.deletion.PROTECT)
        ),
        migrations.AddField(
            "product", "supplier", models.ForeignKey("shop.supplier", django.db.models.deletion.SET_NULL, null=True)
        ),
        migrations.CreateModel(
            "Review",
            [
                ("id", ID),
                ("stars", models.IntegerField()),
                ("at", models.DateTimeField()),
                (
                    "author",
                    models.ForeignKey(settings.AUTH_USER_MODEL, django.db.models.deletion.SET_NULL, null=True),
                ),
                ("product", models.ForeignKey("shop.product", django.db.models.deletion.CASCADE)),
            ],
        ),
        migrations.AddField("product", "extra", models.IntegerField(default=3)),
        migrations.AddField("product", "memo", models.TextField(null=True)),
        migrations.AddIndex("product", models.Index(fields=["name", "-price"], name="name_price")),
        migrations.AlterUniqueTogether("product", {("sku", "category")}),
        migrations.AddConstraint(
            "product", models.CheckConstraint(condition=models.Q(price__gte=0), name="price_not_negative")
        ),
    ]
