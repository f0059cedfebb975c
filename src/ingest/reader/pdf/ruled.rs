//! Tables with ruling lines, where crossing lines form cells (the "lattice" method of Tabula).

use super::{
    page::Rule,
    word::{Row, Word},
};

/// Lines closer together than this, in points, are one line.
const SAME: f32 = 2.5;
/// A line that ends this close to another one meets it.
const MEET: f32 = 4.0;
/// Larger grids are drawings.
const COLUMNS_MAX: usize = 64;
const ROWS_MAX: usize = 2000;
/// A page with more lines is a drawing.
const RULES_MAX: usize = 6000;

/// The rows of a table. All have the same number of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub cells: Vec<Vec<String>>,
}

/// Lines that cross each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The x positions of its vertical lines.
    pub xs: Vec<f32>,
    /// The y positions of its horizontal lines.
    pub ys: Vec<f32>,
    vertical: Vec<Rule>,
    horizontal: Vec<Rule>,
}

/// The grids formed by these lines that have at least two columns.
pub fn grids(rules: &[Rule]) -> Vec<Grid> {
    if rules.len() > RULES_MAX {
        return Vec::new();
    }
    let lines =
        |horizontal: bool| merged(rules.iter().filter(|it| it.is_horizontal() == horizontal).copied().collect());
    let (horizontal, vertical) = (lines(true), lines(false));
    let mut group: Vec<usize> = (0..horizontal.len() + vertical.len()).collect();
    for (index, across) in horizontal.iter().enumerate() {
        for (other, down) in vertical.iter().enumerate() {
            if crosses(across, down) {
                join(&mut group, index, horizontal.len() + other);
            }
        }
    }
    let mut parts: std::collections::BTreeMap<usize, Grid> = std::collections::BTreeMap::new();
    for index in 0..group.len() {
        let root = root(&mut group, index);
        let grid = parts.entry(root).or_insert(Grid {
            xs: Vec::new(),
            ys: Vec::new(),
            vertical: Vec::new(),
            horizontal: Vec::new(),
        });
        match index.checked_sub(horizontal.len()) {
            None => grid.horizontal.push(horizontal[index]),
            Some(index) => grid.vertical.push(vertical[index]),
        }
    }
    let finished = parts.into_values().map(|mut grid| {
        grid.xs = distinct(grid.vertical.iter().map(|it| it.x0).collect());
        grid.ys = distinct(grid.horizontal.iter().map(|it| it.y0).collect());
        grid
    });
    finished.filter(|it| (3..=COLUMNS_MAX).contains(&it.xs.len()) && (2..=ROWS_MAX).contains(&it.ys.len())).collect()
}

/// Merges lines that continue where another one ends.
fn merged(mut rules: Vec<Rule>) -> Vec<Rule> {
    let across = |rule: &Rule| if rule.is_horizontal() { rule.y0 } else { rule.x0 };
    let start = |rule: &Rule| if rule.is_horizontal() { rule.x0 } else { rule.y0 };
    rules.sort_by(|a, b| {
        (across(a) / SAME).round().total_cmp(&(across(b) / SAME).round()).then(start(a).total_cmp(&start(b)))
    });
    let mut out: Vec<Rule> = Vec::new();
    for rule in rules {
        match out.last_mut() {
            Some(last)
                if (across(last) - across(&rule)).abs() <= SAME && last.is_horizontal() == rule.is_horizontal() =>
            {
                let (end, next) = if rule.is_horizontal() { (last.x1, rule.x0) } else { (last.y1, rule.y0) };
                if next <= end + MEET {
                    last.x1 = if rule.is_horizontal() { last.x1.max(rule.x1) } else { last.x1 };
                    last.y1 = if rule.is_horizontal() { last.y1 } else { last.y1.max(rule.y1) };
                    continue;
                }
                out.push(rule);
            }
            _ => out.push(rule),
        }
    }
    out
}

fn crosses(across: &Rule, down: &Rule) -> bool {
    down.x0 >= across.x0 - MEET
        && down.x0 <= across.x1 + MEET
        && across.y0 >= down.y0 - MEET
        && across.y0 <= down.y1 + MEET
}

fn root(group: &mut [usize], mut index: usize) -> usize {
    while group[index] != index {
        group[index] = group[group[index]];
        index = group[index];
    }
    index
}

fn join(group: &mut [usize], one: usize, other: usize) {
    let (one, other) = (root(group, one), root(group, other));
    group[one.max(other)] = one.min(other);
}

fn distinct(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values.dedup_by(|next, kept| *next - *kept <= SAME);
    values
}

impl Grid {
    pub fn contains(&self, word: &Word) -> bool {
        let (x, y) = ((word.left + word.right) / 2.0, word.base - 0.3 * word.size);
        let inside =
            |list: &[f32], at: f32| list.first().is_some_and(|it| *it <= at) && list.last().is_some_and(|it| at <= *it);
        inside(&self.xs, x) && inside(&self.ys, y)
    }

    pub fn top(&self) -> f32 {
        self.ys[0]
    }

    pub fn bottom(&self) -> f32 {
        self.ys[self.ys.len() - 1]
    }

    /// Assigns the words inside the grid to its cells. None if they do not form a table.
    pub fn table(&self, rows: &[Row]) -> Option<Table> {
        let (columns, lines) = (self.xs.len() - 1, self.ys.len() - 1);
        let mut group = self.spans();
        let mut cells: Vec<Vec<Vec<(f32, String)>>> = vec![vec![Vec::new(); columns]; lines];
        for row in rows {
            for word in &row.words {
                let x = (word.left + word.right) / 2.0;
                let y = word.base - 0.3 * word.size;
                let column = self.xs.partition_point(|it| *it <= x).clamp(1, columns) - 1;
                let line = self.ys.partition_point(|it| *it <= y).clamp(1, lines) - 1;
                let first = root(&mut group, line * columns + column);
                cells[first / columns][first % columns].push((row.base, word.text.clone()));
            }
        }
        let mut table: Vec<Vec<String>> = cells.into_iter().flat_map(parted).collect();
        let filled = |row: &Vec<String>| row.iter().filter(|it| !it.is_empty()).count();
        table.retain(|it| filled(it) > 0);
        // Columns between the two lines of one border, and coloured strips, are empty.
        let used: Vec<bool> = (0..columns).map(|column| table.iter().any(|row| !row[column].is_empty())).collect();
        for row in &mut table {
            let mut at = 0;
            row.retain(|_| {
                at += 1;
                used[at - 1]
            });
        }
        let sound = used.iter().filter(|it| **it).count() >= 2
            && table.iter().filter(|it| filled(it) >= 2).count() * 2 >= table.len();
        (sound && table.len() >= 2).then_some(Table { cells: table })
    }

    /// Cells without a line between them are merged into the first one.
    fn spans(&self) -> Vec<usize> {
        let (columns, lines) = (self.xs.len() - 1, self.ys.len() - 1);
        let mut group: Vec<usize> = (0..columns * lines).collect();
        for line in 0..lines {
            for column in 0..columns {
                let (x, y) = (self.xs[column + 1], self.ys[line + 1]);
                let middle_y = (self.ys[line] + y) / 2.0;
                let middle_x = (self.xs[column] + x) / 2.0;
                let wall =
                    self.vertical.iter().any(|it| (it.x0 - x).abs() <= SAME && it.y0 <= middle_y && middle_y <= it.y1);
                let floor = self
                    .horizontal
                    .iter()
                    .any(|it| (it.y0 - y).abs() <= SAME && it.x0 <= middle_x && middle_x <= it.x1);
                if !wall && column + 1 < columns {
                    join(&mut group, line * columns + column, line * columns + column + 1);
                }
                if !floor && line + 1 < lines {
                    join(&mut group, line * columns + column, (line + 1) * columns + column);
                }
            }
        }
        group
    }
}

/// Splits one row of the grid. If each line of text has words in most cells, it becomes a row of its own: such tables
/// have lines only between their columns.
fn parted(row: Vec<Vec<(f32, String)>>) -> Vec<Vec<String>> {
    let mut bases: Vec<f32> = row.iter().flatten().map(|it| it.0).collect();
    bases.sort_by(f32::total_cmp);
    bases.dedup_by(|next, kept| *next - *kept < 2.0);
    let used = row.iter().filter(|it| !it.is_empty()).count();
    let at = |base: f32| row.iter().filter(|cell| cell.iter().any(|it| (it.0 - base).abs() < 2.0)).count();
    let text = |cell: &Vec<(f32, String)>, wanted: Option<f32>| {
        let words = cell.iter().filter(|it| wanted.is_none_or(|base| (it.0 - base).abs() < 2.0));
        words.map(|it| it.1.as_str()).collect::<Vec<_>>().join(" ")
    };
    let aligned = bases.iter().filter(|it| at(**it) * 10 >= used * 7).count();
    if bases.len() >= 3 && used >= 2 && aligned * 10 >= bases.len() * 9 {
        return bases.iter().map(|base| row.iter().map(|cell| text(cell, Some(*base))).collect()).collect();
    }
    vec![row.iter().map(|cell| text(cell, None)).collect()]
}

#[cfg(test)]
mod tests {
    use super::{super::word::Row, *};

    fn line(x0: f32, y0: f32, x1: f32, y1: f32) -> Rule {
        Rule { x0, y0, x1, y1 }
    }

    fn row(base: f32, words: &[(&str, f32)]) -> Row {
        let word =
            |(text, left): &(&str, f32)| Word { text: text.to_string(), ..Word::of_table(0, *left, left + 10.0, base) };
        Row { words: words.iter().map(word).collect(), base, size: 10.0 }
    }

    /// Three columns and three rows, 100 by 20 points each.
    fn lattice() -> Vec<Rule> {
        let across = (0..4).map(|it| line(0.0, it as f32 * 20.0, 300.0, it as f32 * 20.0));
        across.chain((0..4).map(|it| line(it as f32 * 100.0, 0.0, it as f32 * 100.0, 60.0))).collect()
    }

    #[test]
    fn lines_that_cross_make_cells() {
        let grids = grids(&lattice());
        assert_eq!(grids.len(), 1);
        let rows = [
            row(15.0, &[("Part", 10.0), ("Crane", 110.0), ("Limit", 210.0)]),
            row(35.0, &[("pin", 10.0), ("K1", 110.0), ("5", 210.0), ("t", 230.0)]),
        ];
        let table = grids[0].table(&rows).unwrap();
        assert_eq!(table.cells, [["Part", "Crane", "Limit"], ["pin", "K1", "5 t"]]);
    }

    #[test]
    fn cells_without_a_line_between_them_are_one() {
        let mut rules = lattice();
        // The middle wall ends above the first row.
        rules.retain(|it| it.is_horizontal() || it.x0 != 100.0);
        rules.push(line(100.0, 20.0, 100.0, 60.0));
        let rows = [
            row(15.0, &[("Both", 10.0), ("columns", 110.0), ("Limit", 210.0)]),
            row(35.0, &[("pin", 10.0), ("K1", 110.0), ("5", 210.0)]),
        ];
        let table = grids(&rules)[0].table(&rows).unwrap();
        assert_eq!(table.cells, [["Both columns", "", "Limit"], ["pin", "K1", "5"]]);
    }

    #[test]
    fn frames_and_underlines_are_no_tables() {
        let frame = [
            line(0.0, 0.0, 100.0, 0.0),
            line(0.0, 50.0, 100.0, 50.0),
            line(0.0, 0.0, 0.0, 50.0),
            line(100.0, 0.0, 100.0, 50.0),
        ];
        assert!(grids(&frame).is_empty());
        assert!(grids(&[line(0.0, 0.0, 100.0, 0.0)]).is_empty());
        assert!(grids(&[]).is_empty());
    }
}
