//! Named character references: those of HTML 4 and the ones of HTML 5 that documents really use.

/// The character of a reference such as `eacute`, without `&` and `;`.
pub(super) fn named(name: &str) -> Option<char> {
    let found = NAMED.binary_search_by(|it| it.0.cmp(name)).ok()?;
    Some(NAMED[found].1)
}

/// Sorted by name. Source: the table of named character references in the HTML standard.
#[rustfmt::skip]
const NAMED: &[(&str, char)] = &[
    ("AElig", 'Æ'), ("AMP", '&'), ("Aacute", 'Á'), ("Abreve", 'Ă'), ("Acirc", 'Â'), ("Agrave", 'À'), ("Alpha", 'Α'),
    ("Aogon", 'Ą'), ("Aring", 'Å'), ("Atilde", 'Ã'), ("Auml", 'Ä'), ("Beta", 'Β'), ("Cacute", 'Ć'), ("Ccaron", 'Č'),
    ("Ccedil", 'Ç'), ("Chi", 'Χ'), ("Copf", 'ℂ'), ("Dagger", '‡'), ("Delta", 'Δ'), ("DiacriticalGrave", '`'),
    ("ETH", 'Ð'), ("Eacute", 'É'), ("Ecaron", 'Ě'), ("Ecirc", 'Ê'), ("Egrave", 'È'), ("Eogon", 'Ę'), ("Epsilon", 'Ε'),
    ("Eta", 'Η'), ("Euml", 'Ë'), ("GT", '>'), ("Gamma", 'Γ'), ("Gbreve", 'Ğ'), ("Hat", '^'), ("Iacute", 'Í'),
    ("Icirc", 'Î'), ("Igrave", 'Ì'), ("Iota", 'Ι'), ("Iuml", 'Ï'), ("Kappa", 'Κ'), ("LT", '<'), ("Lambda", 'Λ'),
    ("Larr", '\u{219e}'), ("Leftarrow", '\u{21d0}'), ("Lstrok", 'Ł'), ("Mu", 'Μ'), ("Nacute", 'Ń'),
    ("NewLine", '\u{a}'), ("Nopf", 'ℕ'), ("Ntilde", 'Ñ'), ("Nu", 'Ν'), ("OElig", 'Œ'), ("Oacute", 'Ó'), ("Ocirc", 'Ô'),
    ("Odblac", 'Ő'), ("Ograve", 'Ò'), ("Omega", 'Ω'), ("Omicron", 'Ο'), ("Oslash", 'Ø'), ("Otilde", 'Õ'),
    ("Ouml", 'Ö'), ("Phi", 'Φ'), ("Pi", 'Π'), ("Prime", '″'), ("Psi", 'Ψ'), ("QUOT", '"'), ("Qopf", 'ℚ'),
    ("Rarr", '\u{21a0}'), ("Rcaron", 'Ř'), ("Rho", 'Ρ'), ("Rightarrow", '\u{21d2}'), ("Ropf", 'ℝ'), ("Sacute", 'Ś'),
    ("Scaron", 'Š'), ("Scedil", 'Ş'), ("Sigma", 'Σ'), ("THORN", 'Þ'), ("Tab", '\u{9}'), ("Tau", 'Τ'), ("Theta", 'Θ'),
    ("Uacute", 'Ú'), ("Ucirc", 'Û'), ("Udblac", 'Ű'), ("Ugrave", 'Ù'), ("UnderBar", '_'), ("Upsilon", 'Υ'),
    ("Uring", 'Ů'), ("Uuml", 'Ü'), ("VerticalLine", '|'), ("Xi", 'Ξ'), ("Yacute", 'Ý'), ("Yuml", 'Ÿ'), ("Zacute", 'Ź'),
    ("Zcaron", 'Ž'), ("Zdot", 'Ż'), ("Zeta", 'Ζ'), ("Zopf", 'ℤ'), ("aacute", 'á'), ("abreve", 'ă'), ("acirc", 'â'),
    ("acute", '´'), ("aelig", 'æ'), ("agrave", 'à'), ("alefsym", 'ℵ'), ("alpha", 'α'), ("amacr", 'ā'), ("amp", '&'),
    ("and", '\u{2227}'), ("ang", '\u{2220}'), ("aogon", 'ą'), ("apos", '\''), ("approx", '\u{2248}'), ("aring", 'å'),
    ("ast", '*'), ("asymp", '\u{2248}'), ("atilde", 'ã'), ("auml", 'ä'), ("bdquo", '„'), ("beta", 'β'),
    ("blank", '\u{2423}'), ("block", '\u{2588}'), ("brvbar", '¦'), ("bsol", '\\'), ("bull", '•'), ("bullet", '•'),
    ("cacute", 'ć'), ("cap", '\u{2229}'), ("ccaron", 'č'), ("ccedil", 'ç'), ("cedil", '¸'), ("cent", '¢'),
    ("centerdot", '·'), ("check", '\u{2713}'), ("checkmark", '\u{2713}'), ("chi", 'χ'), ("circ", 'ˆ'),
    ("clubs", '\u{2663}'), ("colon", ':'), ("comma", ','), ("commat", '@'), ("cong", '\u{2245}'), ("copy", '©'),
    ("crarr", '\u{21b5}'), ("cross", '\u{2717}'), ("ctdot", '\u{22ef}'), ("cup", '\u{222a}'), ("curren", '¤'),
    ("dArr", '\u{21d3}'), ("dagger", '†'), ("darr", '\u{2193}'), ("dash", '‐'), ("dcaron", 'ď'), ("deg", '°'),
    ("delta", 'δ'), ("diams", '\u{2666}'), ("divide", '÷'), ("dollar", '$'), ("downarrow", '\u{2193}'),
    ("dtri", '\u{25bf}'), ("eacute", 'é'), ("ecaron", 'ě'), ("ecirc", 'ê'), ("egrave", 'è'), ("ell", 'ℓ'),
    ("emacr", 'ē'), ("empty", '\u{2205}'), ("emsp", '\u{2003}'), ("ensp", '\u{2002}'), ("eogon", 'ę'),
    ("epsilon", 'ε'), ("equals", '='), ("equiv", '\u{2261}'), ("eta", 'η'), ("eth", 'ð'), ("euml", 'ë'), ("euro", '€'),
    ("excl", '!'), ("exist", '\u{2203}'), ("female", '\u{2640}'), ("fnof", 'ƒ'), ("forall", '\u{2200}'),
    ("frac12", '½'), ("frac14", '¼'), ("frac34", '¾'), ("frasl", '⁄'), ("gamma", 'γ'), ("gbreve", 'ğ'),
    ("ge", '\u{2265}'), ("geq", '\u{2265}'), ("grave", '`'), ("gt", '>'), ("hArr", '\u{21d4}'), ("hairsp", '\u{200a}'),
    ("harr", '\u{2194}'), ("hbar", 'ℏ'), ("hearts", '\u{2665}'), ("hellip", '…'), ("horbar", '―'), ("iacute", 'í'),
    ("icirc", 'î'), ("iexcl", '¡'), ("igrave", 'ì'), ("imacr", 'ī'), ("image", 'ℑ'), ("imath", 'ı'),
    ("infin", '\u{221e}'), ("inodot", 'ı'), ("int", '\u{222b}'), ("iota", 'ι'), ("iquest", '¿'), ("isin", '\u{2208}'),
    ("iuml", 'ï'), ("kappa", 'κ'), ("lArr", '\u{21d0}'), ("lambda", 'λ'), ("lang", '\u{27e8}'), ("langle", '\u{27e8}'),
    ("laquo", '«'), ("larr", '\u{2190}'), ("lbrace", '{'), ("lbrack", '['), ("lceil", '\u{2308}'), ("lcub", '{'),
    ("ldquo", '“'), ("le", '\u{2264}'), ("leftarrow", '\u{2190}'), ("leftrightarrow", '\u{2194}'), ("leq", '\u{2264}'),
    ("lfloor", '\u{230a}'), ("llarr", '\u{21c7}'), ("longrightarrow", '\u{27f6}'), ("lowast", '\u{2217}'),
    ("lowbar", '_'), ("loz", '\u{25ca}'), ("lpar", '('), ("lrm", '\u{200e}'), ("lsaquo", '‹'), ("lsqb", '['),
    ("lsquo", '‘'), ("lstrok", 'ł'), ("lt", '<'), ("ltri", '\u{25c3}'), ("macr", '¯'), ("male", '\u{2642}'),
    ("map", '\u{21a6}'), ("mapsto", '\u{21a6}'), ("mdash", '—'), ("micro", 'µ'), ("midast", '*'), ("middot", '·'),
    ("minus", '\u{2212}'), ("mu", 'μ'), ("nabla", '\u{2207}'), ("nacute", 'ń'), ("nbsp", '\u{a0}'), ("ncaron", 'ň'),
    ("ndash", '–'), ("ne", '\u{2260}'), ("nearr", '\u{2197}'), ("ni", '\u{220b}'), ("not", '¬'), ("notin", '\u{2209}'),
    ("nsub", '\u{2284}'), ("ntilde", 'ñ'), ("nu", 'ν'), ("num", '#'), ("numsp", '\u{2007}'), ("nwarr", '\u{2196}'),
    ("oacute", 'ó'), ("ocirc", 'ô'), ("odblac", 'ő'), ("oelig", 'œ'), ("ograve", 'ò'), ("oline", '‾'), ("omacr", 'ō'),
    ("omega", 'ω'), ("omicron", 'ο'), ("oplus", '\u{2295}'), ("or", '\u{2228}'), ("ordf", 'ª'), ("ordm", 'º'),
    ("oslash", 'ø'), ("otilde", 'õ'), ("otimes", '\u{2297}'), ("ouml", 'ö'), ("para", '¶'), ("part", '\u{2202}'),
    ("percnt", '%'), ("period", '.'), ("permil", '‰'), ("perp", '\u{22a5}'), ("phi", 'φ'), ("phone", '\u{260e}'),
    ("pi", 'π'), ("piv", 'ϖ'), ("planck", 'ℏ'), ("plus", '+'), ("plusmn", '±'), ("pound", '£'), ("prime", '′'),
    ("prod", '\u{220f}'), ("prop", '\u{221d}'), ("psi", 'ψ'), ("puncsp", '\u{2008}'), ("quest", '?'), ("quot", '"'),
    ("rArr", '\u{21d2}'), ("radic", '\u{221a}'), ("rang", '\u{27e9}'), ("rangle", '\u{27e9}'), ("raquo", '»'),
    ("rarr", '\u{2192}'), ("rarrw", '\u{219d}'), ("rbrace", '}'), ("rbrack", ']'), ("rcaron", 'ř'),
    ("rceil", '\u{2309}'), ("rcub", '}'), ("rdquo", '”'), ("rdquor", '”'), ("real", 'ℜ'), ("reg", '®'),
    ("rfloor", '\u{230b}'), ("rho", 'ρ'), ("rightarrow", '\u{2192}'), ("rlm", '\u{200f}'), ("rpar", ')'),
    ("rsaquo", '›'), ("rsqb", ']'), ("rsquo", '’'), ("rsquor", '’'), ("rtri", '\u{25b9}'), ("sacute", 'ś'),
    ("sbquo", '‚'), ("scaron", 'š'), ("scedil", 'ş'), ("sdot", '\u{22c5}'), ("searr", '\u{2198}'), ("sect", '§'),
    ("semi", ';'), ("shy", '\u{ad}'), ("sigma", 'σ'), ("sigmaf", 'ς'), ("sim", '\u{223c}'), ("sol", '/'),
    ("spades", '\u{2660}'), ("squ", '\u{25a1}'), ("star", '\u{2606}'), ("starf", '\u{2605}'), ("sub", '\u{2282}'),
    ("sube", '\u{2286}'), ("sum", '\u{2211}'), ("sup", '\u{2283}'), ("sup1", '¹'), ("sup2", '²'), ("sup3", '³'),
    ("supe", '\u{2287}'), ("swarr", '\u{2199}'), ("szlig", 'ß'), ("tau", 'τ'), ("tcaron", 'ť'), ("there4", '\u{2234}'),
    ("theta", 'θ'), ("thetasym", 'ϑ'), ("thinsp", '\u{2009}'), ("thorn", 'þ'), ("tilde", '˜'), ("times", '×'),
    ("trade", '™'), ("uArr", '\u{21d1}'), ("uacute", 'ú'), ("uarr", '\u{2191}'), ("ucirc", 'û'), ("udblac", 'ű'),
    ("ugrave", 'ù'), ("umacr", 'ū'), ("uml", '¨'), ("uparrow", '\u{2191}'), ("upsih", 'ϒ'), ("upsilon", 'υ'),
    ("uring", 'ů'), ("utri", '\u{25b5}'), ("uuml", 'ü'), ("varepsilon", 'ϵ'), ("varphi", 'ϕ'), ("vellip", '\u{22ee}'),
    ("verbar", '|'), ("vert", '|'), ("weierp", '℘'), ("xi", 'ξ'), ("yacute", 'ý'), ("yen", '¥'), ("yuml", 'ÿ'),
    ("zacute", 'ź'), ("zcaron", 'ž'), ("zdot", 'ż'), ("zeta", 'ζ'), ("zwj", '\u{200d}'), ("zwnj", '\u{200c}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_name_is_found() {
        assert!(NAMED.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(named("eacute"), Some('é'));
        assert_eq!(named("mdash"), Some('—'));
        assert_eq!(named("nosuch"), None);
    }
}
