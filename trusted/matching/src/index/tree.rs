//! Which page of a group a row belongs to.
//!
//! Invariant: every page is a leaf. A row whose bound is below a split's goes to its first side,
//! others to the second; a split without a column sends all that come to its second side.
//! Source: k-d trees, Bentley, CACM 1975; with pages as in Robinson, SIGMOD '81.

use alloc::vec;
use alloc::vec::Vec;

use super::rows::{Cut, Placed, bound_on};

/// Splits over the pages of a group, which are numbered from 0 without gaps.
#[derive(Clone)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// By page.
    leaves: Vec<u32>,
    root: u32,
}

#[derive(Clone, Copy)]
struct Node {
    parent: Option<u32>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Leaf(u32),
    Split(Option<Cut>, [u32; 2]),
}

impl Tree {
    /// One page.
    pub(super) fn new() -> Self {
        let root = Node {
            parent: None,
            kind: Kind::Leaf(0),
        };
        Self {
            nodes: vec![root],
            free: Vec::new(),
            leaves: vec![0],
            root: 0,
        }
    }

    /// The page for a row with these bounds.
    pub(super) fn find(&self, bounds: &[Placed]) -> usize {
        let mut node = self.root;
        loop {
            match self.nodes[node as usize].kind {
                Kind::Leaf(page) => return page as usize,
                Kind::Split(cut, sides) => {
                    let is_second = cut.is_none_or(|cut| bound_on(bounds, cut.column) >= cut.at);
                    node = sides[usize::from(is_second)];
                }
            }
        }
    }

    /// Splits a page: what is at or above the cut belongs to a new page, which is the next number.
    pub(super) fn split(&mut self, page: usize, cut: Option<Cut>) {
        let node = self.leaves[page];
        let first = self.add(Node {
            parent: Some(node),
            kind: Kind::Leaf(page as u32),
        });
        let second = self.add(Node {
            parent: Some(node),
            kind: Kind::Leaf(self.leaves.len() as u32),
        });
        self.nodes[node as usize].kind = Kind::Split(cut, [first, second]);
        self.leaves[page] = first;
        self.leaves.push(second);
    }

    /// Removes a page, which is not the only one; the last page takes its number.
    pub(super) fn remove(&mut self, page: usize) {
        let leaf = self.leaves.swap_remove(page);
        if let Some(moved) = self.leaves.get(page) {
            self.nodes[*moved as usize].kind = Kind::Leaf(page as u32);
        }
        let parent = self.nodes[leaf as usize]
            .parent
            .expect("a page that is not the only one lies below a split");
        let Kind::Split(_, sides) = self.nodes[parent as usize].kind else {
            unreachable!("parents are splits")
        };
        // What stays takes the place of the split.
        let stays = sides[usize::from(sides[0] == leaf)];
        let above = self.nodes[parent as usize].parent;
        self.nodes[stays as usize].parent = above;
        match above {
            None => self.root = stays,
            Some(above) => {
                let Kind::Split(_, sides) = &mut self.nodes[above as usize].kind else {
                    unreachable!("parents are splits")
                };
                sides[usize::from(sides[1] == parent)] = stays;
            }
        }
        self.free.extend([leaf, parent]);
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            return number;
        }
        let number = u32::try_from(self.nodes.len()).expect("pages are fewer than 2^31");
        self.nodes.push(node);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(column: usize, at: u64) -> Option<Cut> {
        Some(Cut { column, at })
    }

    fn find(tree: &Tree, bounds: &[u64]) -> usize {
        let placed = bounds.iter().zip(0..);
        let placed = placed.map(|(least, column)| Placed {
            column,
            least: *least,
        });
        tree.find(&placed.collect::<Vec<_>>())
    }

    #[test]
    fn rows_go_to_the_side_of_their_bound() {
        let mut tree = Tree::new();
        tree.split(0, cut(0, 10));
        tree.split(1, cut(1, 5));

        assert_eq!(find(&tree, &[9, 9]), 0);
        assert_eq!(find(&tree, &[10, 4]), 1);
        assert_eq!(find(&tree, &[10, 5]), 2);
    }

    #[test]
    fn without_a_cut_rows_go_to_the_new_page() {
        let mut tree = Tree::new();
        tree.split(0, None);

        assert_eq!(find(&tree, &[]), 1);
    }

    #[test]
    fn what_is_left_takes_the_place_of_a_removed_page() {
        let mut tree = Tree::new();
        tree.split(0, cut(0, 10));
        tree.split(1, cut(1, 5));

        tree.remove(0);

        // The last page, number 2, is now number 0.
        assert_eq!(find(&tree, &[3, 4]), 1);
        assert_eq!(find(&tree, &[3, 5]), 0);
        tree.remove(1);
        assert_eq!(find(&tree, &[3, 4]), 0);
        tree.split(0, cut(0, 7));
        assert_eq!(find(&tree, &[7, 0]), 1);
        assert_eq!(find(&tree, &[6, 0]), 0);
    }
}
