//! Beside tables that an earlier process has left.

use super::*;

#[tokio::test]
async fn tables_that_are_being_read_are_waited_for_and_so_are_edits_meanwhile() {
    let rules = rules(1, &[]);
    let kernel = Fake::default();
    let mut node = informed(&kernel, &rules);
    node.flush().await.unwrap();
    let loaded = kernel.0.lock().unwrap().loaded.clone();
    for (of, again) in [(loaded.generation, 1), (loaded.generation.next(), 2)] {
        let mut node = Node::new(&kernel, Settings::default(), Status::new("a".into())).0;
        node.await_tables();
        node.take(new_rules(&rules));
        node.take(new_facts());
        node.take(Input::Edit(Edit::Edited {
            generation: of,
            pid: Some(1),
            process: None,
        }));
        node.flush().await.unwrap();
        assert_eq!(
            (kernel.reads(), kernel.commits().len(), node.status().ready),
            (1, FIRST, false)
        );
        node.know(Some(loaded.clone()));
        node.flush().await.unwrap();
        // An edit of what was read is in it; a later one is not.
        assert_eq!((kernel.reads(), kernel.commits().len()), (again, FIRST), "{of}");
        assert!(node.status().ready);
    }
}
