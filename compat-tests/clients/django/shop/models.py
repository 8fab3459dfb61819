"""What the migrations come to."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Category(models.Model):
    name = models.CharField(max_length=50, unique=True)
    label = models.SlugField()
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)


class Supplier(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=200, unique=True)
    ip = models.GenericIPAddressField(null=True)


class Tag(models.Model):
    name = models.CharField(max_length=30, primary_key=True)


class Product(models.Model):
    sku = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    category = models.ForeignKey(Category, on_delete=models.PROTECT)
    supplier = models.ForeignKey(Supplier, null=True, on_delete=models.SET_NULL)
    tags = models.ManyToManyField(Tag)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    stock = models.PositiveIntegerField(default=0)
    active = models.BooleanField(default=True)
    data = models.JSONField(default=dict)
    released = models.DateField(null=True)
    shelf = models.DurationField(null=True)
    codes = ArrayField(models.IntegerField(), default=list)
    memo = models.TextField(default="none")

    class Meta:
        unique_together = [("sku", "category")]
        indexes = [models.Index(fields=["name", "-price"], name="name_price")]
        constraints = [models.CheckConstraint(condition=Q(price__gte=0), name="price_not_negative")]


class Review(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    author = models.ForeignKey("auth.User", null=True, on_delete=models.SET_NULL)
    stars = models.IntegerField(db_index=True)
    at = models.DateTimeField()
