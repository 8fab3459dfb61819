//! Backups of databases whose cold files lie in object stores, and their way back into others.

use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;

use super::objects::{Switched, options, remote};
use super::*;
use crate::backup::restore;
use crate::cold::ColdOptions;
use crate::testing::assert_sound;

#[tokio::test(flavor = "multi_thread")]
async fn cold_files_go_back_into_the_stores_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (objects, archive) = (Arc::<Switched>::default(), Arc::<Switched>::default());
    let cold = remote(&objects, Some(&archive));
    let store = Store::open(options(&dir.path().join("one"), cold.clone())).unwrap();
    let mut far = notes(2, "far", true);
    far.options.storage = Some("archive".to_string());
    let tables = [
        put_table(&store, notes(1, "near", true)).await,
        put_table(&store, far).await,
    ];
    let alice = user("alice");
    for table in &tables {
        insert(&store, table, &alice, 1, "flushed").await;
        store.flush(table.id).await.unwrap();
        insert(&store, table, &alice, 2, "hot").await;
    }
    let target = dir.path().join("backups");
    let target = target.to_str().unwrap();
    let report = store.backup(target).await.unwrap();
    assert_eq!(report.backup.number, 1);
    insert(&store, &tables[0], &alice, 3, "later").await;

    let to = dir.path().join("two");
    let restored = |cold: ColdOptions| {
        let to = to.clone();
        async move { restore(target, &to, None, &cold).await }
    };
    // Not over the files of another database, be it that of the backup.
    let error = restored(cold.clone()).await.unwrap_err().to_string();
    assert!(error.contains("belongs to another database"), "{error}");
    let (fresh, far) = (Arc::<Switched>::default(), Arc::<Switched>::default());
    let error = restored(remote(&fresh, None)).await.unwrap_err();
    assert!(
        error.to_string().contains("--storage archive=URL"),
        "{error}"
    );
    // What goes wrong halfway leaves nothing.
    far.down.store(true, Ordering::SeqCst);
    let error = restored(remote(&fresh, Some(&far))).await.unwrap_err();
    assert!(error.to_string().contains("nobody listens"), "{error}");
    assert!(!to.exists());
    assert_eq!(fresh.paths().await, Vec::<String>::new());
    let marker = fresh.inner.head(&ObjectPath::from("tidelog.json")).await;
    assert!(marker.is_err(), "{marker:?}");
    far.down.store(false, Ordering::SeqCst);

    let cold = remote(&fresh, Some(&far));
    let report = restored(cold.clone()).await.unwrap();
    assert_eq!(report.backup.number, 1);
    assert_eq!((fresh.paths().await.len(), far.paths().await.len()), (1, 1));
    assert_sound(
        &crate::testing::check_closed(&to, cold.clone())
            .await
            .unwrap(),
    );
    let twin = Store::open(options(&to, cold)).unwrap();
    // Both go on, each with its own files.
    for (store, rows) in [(&store, [3, 2]), (&twin, [2, 2])] {
        for (table, rows) in tables.iter().zip(rows) {
            let table = store.catalog().tables[&(table.schema.clone(), table.name.clone())].clone();
            store.flush(table.id).await.unwrap();
            store.compact(table.id).await.unwrap();
            let files = store.snapshot().cold_files(&table, &PartitionSet::All);
            assert_eq!(files.unwrap()[0].rows, rows);
        }
        assert_sound(&store.check().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_has_backups_of_one_database() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let open = |name: &str| Store::open(options(&place(name), ColdOptions::default())).unwrap();
    let (one, two) = (open("one"), open("two"));
    let target = place("backups").to_string_lossy().into_owned();
    assert_eq!(one.backup(&target).await.unwrap().backup.number, 1);
    let error = two.backup(&target).await.unwrap_err().to_string();
    assert!(error.contains("has backups of another database"), "{error}");
    assert_eq!(one.backup(&target).await.unwrap().backup.number, 2);
    // A list that cannot be read is in nobody's way.
    let list = place("backups").join("backups/00000002.json");
    std::fs::write(&list, "damaged").unwrap();
    assert_eq!(one.backup(&target).await.unwrap().backup.number, 3);
    std::fs::remove_file(list.with_file_name("00000003.json")).unwrap();
    let error = two.backup(&target).await.unwrap_err().to_string();
    assert!(error.contains("has backups of another database"), "{error}");
}
