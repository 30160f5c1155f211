//! Subscriptions arranged by containment.
//!
//! Invariant: a node covers each of its children, so a header that misses a node misses all below it; equal subscriptions
//! share a node.
//! Source: SCBR, Pires et al., Middleware '16, section on containment. Beyond the paper, a list of children holds the
//! first demand of each, so that most are left out without being visited.

use sc_matching::Subscription;

use crate::matching::engine::{Engine, Pass, Publications};
use crate::matching::language::{Demand, Language, Slots, Unsupported};

/// The node above all others; it has no demands.
const ROOT: u32 = 0;

pub(crate) struct Forest {
    language: Language,
    nodes: Vec<Node>,
    /// Nodes that are free.
    free: Vec<u32>,
    /// The node of each id. Ids are dense here; elsewhere this would be a hash table.
    places: Vec<Option<u32>>,
    demands: Vec<Demand>,
}

#[derive(Default)]
struct Node {
    ids: Vec<u32>,
    demands: Box<[Demand]>,
    parent: u32,
    children: Vec<Child>,
}

/// A node in the list of its parent.
#[derive(Clone, Copy)]
struct Child {
    first: Demand,
    node: u32,
}

impl Default for Forest {
    fn default() -> Self {
        Self {
            language: Language::default(),
            nodes: vec![Node::default()],
            free: Vec::new(),
            places: Vec::new(),
            demands: Vec::new(),
        }
    }
}

/// Whether whatever satisfies `inner` satisfies `outer`.
fn covers(outer: &[Demand], inner: &[Demand]) -> bool {
    outer.len() <= inner.len()
        && outer
            .iter()
            .all(|demand| inner.iter().any(|other| demand.covers(other)))
}

impl Forest {
    /// The deepest node that covers `demands`, by the first child that does; and whether it is equal to them.
    fn descend(&self, demands: &[Demand]) -> (u32, bool) {
        let mut at = ROOT;
        loop {
            let above = |child: &&Child| {
                demands.iter().any(|demand| child.first.covers(demand))
                    && covers(&self.nodes[child.node as usize].demands, demands)
            };
            match self.nodes[at as usize].children.iter().find(above) {
                None => return (at, false),
                Some(child) => at = child.node,
            }
            if covers(demands, &self.nodes[at as usize].demands) {
                return (at, true);
            }
        }
    }

    /// Puts a node below `parent`, and below it those children of the parent that it covers.
    fn add_below(&mut self, parent: u32, demands: &[Demand]) -> u32 {
        let children = std::mem::take(&mut self.nodes[parent as usize].children);
        let below = |child: &Child| covers(demands, &self.nodes[child.node as usize].demands);
        let (taken, mut left): (Vec<_>, Vec<_>) = if children.iter().any(below) {
            children.iter().partition(|child| below(child))
        } else {
            (Vec::new(), children)
        };
        let node = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() as u32 - 1
        });
        left.push(Child {
            first: demands[0],
            node,
        });
        self.nodes[parent as usize].children = left;
        for child in &taken {
            self.nodes[child.node as usize].parent = node;
        }
        self.nodes[node as usize] = Node {
            ids: Vec::new(),
            demands: demands.into(),
            parent,
            children: taken,
        };
        node
    }

    /// Takes out a node without ids; its children go to its parent, who covers them, too.
    fn dissolve(&mut self, node: u32) {
        let Node {
            parent, children, ..
        } = std::mem::take(&mut self.nodes[node as usize]);
        for child in &children {
            self.nodes[child.node as usize].parent = parent;
        }
        let siblings = &mut self.nodes[parent as usize].children;
        let own = siblings.iter().position(|child| child.node == node);
        siblings.swap_remove(own.expect("a parent lists each of its children"));
        siblings.extend(children);
        self.free.push(node);
    }
}

impl Engine for Forest {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let mut demands = std::mem::take(&mut self.demands);
        self.language.demands(subscription, &mut demands)?;
        let (found, equal) = self.descend(&demands);
        let node = match equal {
            true => found,
            false => self.add_below(found, &demands),
        };
        self.demands = demands;
        self.nodes[node as usize].ids.push(id);
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, None);
        }
        self.places[id as usize] = Some(node);
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        let place = self.places.get_mut(id as usize).and_then(Option::take);
        let Some(node) = place else {
            return Ok(false);
        };
        let ids = &mut self.nodes[node as usize].ids;
        ids.retain(|own| *own != id);
        if ids.is_empty() {
            self.dissolve(node);
        }
        Ok(true)
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        Ok(Box::new(Walk {
            publications,
            slots: Slots::new(&self.language, &publications.block),
            nodes: &self.nodes,
            open: Vec::new(),
        }))
    }
}

struct Walk<'e> {
    publications: &'e Publications<'e>,
    slots: Slots<'e>,
    nodes: &'e [Node],
    /// Nodes that matched and whose children were not visited yet.
    open: Vec<u32>,
}

impl Pass for Walk<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let keys = self.slots.fill(&self.publications.headers[at]);
        let holds = |demand: &Demand| demand.holds(keys[usize::from(demand.attribute)]);
        self.open.push(ROOT);
        while let Some(node) = self.open.pop() {
            for child in &self.nodes[node as usize].children {
                if !holds(&child.first) {
                    continue;
                }
                let node = &self.nodes[child.node as usize];
                if node.demands[1..].iter().all(holds) {
                    ids.extend_from_slice(&node.ids);
                    self.open.push(child.node);
                }
            }
        }
    }
}
