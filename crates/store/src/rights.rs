//! Who may read and who may change a collection, as conditions of SQL: the only place where these rules stand.
//! `$1` is the reader; memberships are read at that moment, so a personnel move counts from the next statement on.
//!
//! May read: the owner, members of the owning department, members of reader departments, and everyone where the
//! collection says so, which a classified one never does. May change: the owner and members of the owning department.

/// Departments in which person `$1` holds a post.
macro_rules! departments_of_reader {
    () => {
        "SELECT mp.department_id FROM post_holders mh JOIN posts mp ON mp.id = mh.post_id \
         WHERE mh.person_id = $1 AND mp.deleted_at IS NULL"
    };
}

/// Condition on `collections c`: person `$1` may change it. Does not look at deletion.
macro_rules! changeable {
    () => {
        concat!("(c.owner_person = $1 OR c.owner_department IN (", crate::rights::departments_of_reader!(), "))")
    };
}

/// Condition on `collections c`: it exists and person `$1` may read it.
macro_rules! readable {
    () => {
        concat!(
            "c.deleted_at IS NULL AND ((c.everyone = 1 AND c.grade <> 'C') OR ",
            crate::rights::changeable!(),
            " OR EXISTS (SELECT 1 FROM collection_readers cr WHERE cr.collection_id = c.id AND cr.department_id IN (",
            crate::rights::departments_of_reader!(),
            ")))"
        )
    };
}

pub(crate) use {changeable, departments_of_reader, readable};

/// `$from, $from+1, …` for a list of `count` values.
pub(crate) fn placeholders(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}
