"""What cannot be taken back everywhere: columns of wider types."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_alter")]
    operations = [
        migrations.AlterField("supplier", "name", models.CharField(max_length=200)),
        migrations.AlterField("supplier", "name", models.CharField(max_length=200, unique=True)),
        migrations.AlterField("product", "stock", models.PositiveIntegerField(default=0)),
    ]
