//! The spill store on a real disk: what is stored is found again, in order, and damage stays where it is.

mod bounds;
mod damage;
mod house;
mod keeping;
