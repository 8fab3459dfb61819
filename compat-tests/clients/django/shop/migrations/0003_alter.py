import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_rows")]
    operations = [
        migrations.AlterField("product", "memo", models.TextField(default="none")),
        migrations.AlterField("review", "stars", models.IntegerField(db_index=True)),
        migrations.RenameField("category", "slug", "label"),
        migrations.RenameModel("Label", "Tag"),
        migrations.AlterUniqueTogether("product", {("sku", "name")}),
        migrations.AlterUniqueTogether("product", {("sku", "category")}),
        migrations.RemoveIndex("product", "name_price"),
        migrations.AddIndex("product", models.Index(fields=["name", "-price"], name="by_name")),
        migrations.RenameIndex("product", new_name="name_price", old_name="by_name"),
        migrations.AlterField(
            "product",
            "supplier",
            models.ForeignKey(
                "shop.supplier", django.db.models.deletion.SET_NULL, null=True, db_constraint=False
            ),
        ),
        migrations.AlterField(
            "product", "supplier", models.ForeignKey("shop.supplier", django.db.models.deletion.SET_NULL, null=True)
        ),
        migrations.RemoveField("product", "extra"),
    ]
