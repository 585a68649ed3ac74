"""What is open at a cursor (║) in half-written code of each language, from the outermost inwards.

The third column is what is open, as it was opened. The last is what is still to be written.
"""

from __future__ import annotations

import pytest

from model.languages.languages import language_of_id
from model.languages.lexer import lexer_of

ROWS = {
    "python": [
        ('print(f"{x║', '( " {', '} " )'),
        ('print(f"{x:>{w║', '( " { : {', '} } " )'),
        ('print(f"{x!r:>10║', '( " { :', '} " )'),
        ('print(f"{d["a"]║', '( " {', '} " )'),
        ('print(f"{{x║', '( "', '" )'),
        ('print(f"{x")║', "", ""),
        ("f'''{a}\n{b║", "''' {", "} '''"),
        ('def f():\n    """it\'s (║', '"""', '"""'),
        ('x = rb"\\║', '"', '"'),
        ("x = 'a  # (\ny = [║", "[", "]"),
        ("x = 1  # it's (║", "#", ""),
        ("x = {'a': (1, [2, {'b'║", "{ ( [ {", "} ] ) }"),
        ('f"{x\ny = (║', "(", ")"),
    ],
    "javascript": [
        ("f(`a ${b.map((x) => {║", "( ` ${ ( {", "} ) } ` )"),
        ("f(`a ${`b ${c║", "( ` ${ ` ${", "} ` } ` )"),
        ("x = /[(/]\\//.test(║", "(", ")"),
        ("x = /[(║", "/", "/"),
        ("x = a / b / (║", "(", ")"),
        ("return (\n  <ul>{a.map((x) => <li key={x║", "( <ul { ( <li {", "} > ) } </ul> )"),
        ('x = <a href="║', '<a "', '" >'),
        ("x = <p>it's (║", "<p", "</p>"),
        ("x = <><br /><b>a</b>║", "<", "</>"),
        ("if (a < b) {║", "{", "}"),
        ("/* it's (║", "/*", "*/"),
        ("x = 'it\\'s ║", "'", "'"),
    ],
    "typescript": [
        ("const a = useState<Map<string, Fo║", "< <", "> >"),
        ("function f<T extends Foo>(a: Array<║", "( <", "> )"),
        ("if (a<b && c>(║", "( (", ") )"),
        ("const f = (a: () => void, b = (x: A<B>) => {║", "( {", "} )"),
        ("`${a║", "` ${", "} `"),
    ],
    "typescriptreact": [
        ("const x = useRef<HTMLDiv║", "<", ">"),
        ("const f = <T,>(a: T) => {║", "{", "}"),
        ("return <A b={c} d={<E║", "<A { <E", "> } >"),
    ],
    "java": [
        ("Map<String, List<Integer║", "< <", "> >"),
        ("for (int i = 0; i < n; i++) { f(║", "{ (", ") }"),
        ('String s = """\n  it\'s "a" (║', '"""', '"""'),
        ("char c = '('; f(║", "(", ")"),
        ("char c = '║", "'", "'"),
        ("List<? extends Foo> a = new ArrayList<>(║", "(", ")"),
        ("/** {@code (} */ class A {║", "{", "}"),
    ],
    "kotlin": [
        ('println("${a.map { "$it║', '( " ${ { "', '" } } " )'),
        ('val x = """\n ${a(║', '""" ${ (', ') } """'),
        ("/* a /* b */ (║", "/*", "*/"),
        ("val x = listOf<Pair<Int, ║", "< <", "> >"),
        ('"$a.b ${c}" + f(║', "(", ")"),
    ],
    "scala": [
        ('s"${x.map(║', '" ${ (', ') } "'),
        ('"${x" + f(║', "(", ")"),
        ("def f(a: 'b') = {║", "{", "}"),
        ('raw"""a " ${b║', '""" ${', '} """'),
    ],
    "groovy": [
        ('"${a.b { c(║', '" ${ { (', ') } } "'),
        ("'${a' + f(║", "(", ")"),
        ("'''it's (║", "'''", "'''"),
    ],
    "swift": [
        ('print("\\(a.b(║', '( " \\( (', ') ) " )'),
        ('print("""\n a "b" \\(c║', '( """ \\(', ') """ )'),
        ('print(#"a \\(b" c║', '( #"', '"# )'),
        ("let a: Array<Dictionary<String, ║", "< <", "> >"),
        ("/* /* */ (║", "/*", "*/"),
    ],
    "csharp": [
        ('$"{a.B(║', '$" { (', ') } "'),
        ('$"{a:N2} {b║', '$" {', '} "'),
        ('@"a\\" + f(║', "(", ")"),
        ('@"it""s \n(║', '@"', '"'),
        ('$@"{a║', '$@" {', '} "'),
        ('"""\n a "b" (║', '"""', '"""'),
        ("var a = new Dictionary<string, List<║", "< <", "> >"),
        ("char c = '\\''; f(║", "(", ")"),
    ],
    "c": [
        ("#include <stdi║", "<", ">"),
        ("#include <stdio.h>\nint main(║", "(", ")"),
        ("if (a < b && c > d) { x[║", "{ [", "] }"),
        ("char c = '{'; f(║", "(", ")"),
        ("char c = '\\║", "'", "'"),
        ("#error don't (\nint x[║", "( [", "] )"),
        ("// it's (║", "//", ""),
    ],
    "cpp": [
        ("std::vector<std::pair<int, ║", "< <", "> >"),
        ("template <typename T║", "<", ">"),
        ('auto s = R"x(a )" (║', '"x(', ')x"'),
        ("int x = 1'000'000; f(║", "(", ")"),
        ("for (int i=0;i<n;++i) {║", "{", "}"),
        ("static_cast<int>(a->b(║", "( (", ") )"),
        ("std::cout << a << f(║", "(", ")"),
    ],
    "objective-c": [
        ('NSLog(@"a %@", [b c:@[║', "( [ [", "] ] )"),
        ("#import <Foundation/║", "<", ">"),
        ("x = @\"it's (║", '"', '"'),
    ],
    "go": [
        ('x := `a " (\n║', "`", "`"),
        ("if a < b { f(func(x []T) {║", "{ ( {", "} ) }"),
        ("c := '\\''; f('\"', ║", "(", ")"),
    ],
    "rust": [
        ("fn f<'a>(x: &'a Vec<Option<║", "( < <", "> > )"),
        ('let s = r#"a " (║', '#"', '"#'),
        ("match c { '(' => f(║", "{ (", ") }"),
        ("let x: Vec<_> = a.iter().map(|x| {║", "( {", "} )"),
        ('let s = "a\n b (║', '"', '"'),
        ("a::<Vec<u8║", "< <", "> >"),
        ("/* /* */ (║", "/*", "*/"),
    ],
    "dart": [
        ("print('${a.b('c ${d║", "( ' ${ ( ' ${", "} ' ) } ' )"),
        ("r'${a' + f(║", "(", ")"),
        ("'''it's $a ${b║", "''' ${", "} '''"),
        ("Map<String, List<int║", "< <", "> >"),
    ],
    "zig": [
        ("const a =\n    \\\\it's (\n    \\\\\"\n; f(║", "(", ")"),
        ("const c = '('; if (a) {║", "{", "}"),
    ],
    "php": [
        ("<p>it's <?php f(\"{$a[║", '<p <?php ( " {$ [', '] } " ) </p>'),
        ("<?php\nif ($a) { ?>\n<p>it's (</p>\n<?php } f(║", "<?php (", ")"),
        ("<?php\n$a = <<<EOT\nit's (\nEOT;\nf(║", "<?php (", ")"),
        ("<?php\n$a = <<<EOT\nit's (║", "<?php <<<EOT", "\\nEOT"),
        ("<?php # it's (\n#[Attr(║", "<?php [ (", ") ]"),
        ("$a = ['b' => '║", "[ '", "' ]"),
    ],
    "ruby": [
        ('puts "#{a.map { |x| "#{x║', '" #{ { " #{', '} " } } "'),
        ("x = %w[a b║", "%w[", "]"),
        ("x = %q(a (b) c║", "%q(", ")"),
        ("x = a % (b║", "(", ")"),
        ("f(<<~EOS, 1)\n  it's (\nEOS\ng(║", "(", ")"),
        ("f(<<~EOS, 1)\n  a #{b║", "<<~EOS #{", "} \\nEOS"),
        ("x =~ /[(]#a/ ? f(║", "(", ")"),
        ("=begin\nit's (\n=end\nf(║", "(", ")"),
    ],
    "perl": [
        ("my %h = (a => q{it's {x} (║", "( {", "} )"),
        ("$x =~ s/it's(/b║", "/", "/"),
        ("$x =~ s{a}{it's (║", "{", "}"),
        ("my $s{a} = $y{b}; f(║", "(", ")"),
        ("print <<EOT;\nit's (\nEOT\nf(║", "(", ")"),
        ("=head1 it's (\n\n=cut\n\nf(║", "(", ")"),
        ("my $n = $#{$a}; if (║", "(", ")"),
    ],
    "lua": [
        ("x = [==[ it's ]] (║", "[==[", "]==]"),
        ("--[[ it's\n ( ]] f(║", "(", ")"),
        ("-- it's (\nx = {║", "{", "}"),
        ("x = a[b[1]] .. f(║", "(", ")"),
    ],
    "shellscript": [
        ('echo "a $(b "c ${d║', '" $( " ${', '} " ) "'),
        ("cat <<EOF | f\nit's (\nEOF\necho \"║", '"', '"'),
        ("cat <<-'EOF'\nit's (║", "<<-'EOF'", "\\nEOF"),
        ("x=$(f ${#a} $#║", "(", ")"),
        ("echo it\\'s # it's\nf 'a\n(║", "'", "'"),
        ('cat <<< "a"; [[ ║', "[ [", "] ]"),
    ],
    "powershell": [
        ('Write-Host "a $($b.c(║', '" $( (', ') ) "'),
        ('"a `"║', '"', '"'),
        ("@'\nit's (\n'@ + f(║", "(", ")"),
        ("<# it's ( #> f {║", "{", "}"),
    ],
    "sql": [
        ("select 'it''s (', f(║", "(", ")"),
        ("-- it's (\nselect 'a\n║", "'", "'"),
        ("create function f() as $body$ it's (║", "$body$", "$body$"),
        ('select "a""(", /* it\'s */ (║', "(", ")"),
    ],
    "r": [
        ("f('it\\'s (', r\"-(a \" (║", '( "-(', ')-" )'),
        ("# it's (\nx <- c(║", "(", ")"),
        ("x %in% y[[║", "[ [", "] ]"),
    ],
    "julia": [
        ('println("a $(b("c║', '( " $( ( "', '" ) ) " )'),
        ("a' * b' + f(║", "(", ")"),
        ("#= it's ( =# f(║", "(", ")"),
        ('x = """a " (║', '"""', '"""'),
    ],
    "elixir": [
        ('"#{a |> b("c║', '" #{ ( "', '" ) } "'),
        ("~r/it's (/ |> f(║", "(", ")"),
        ("~w(a b║", "~w(", ")"),
        ('@doc """\nit\'s (║', '"""', '"""'),
        ('f?(?", ?\\", [║', "( [", "] )"),
    ],
    "haskell": [
        ("foldl' (\\(a, b) -> '(' : [║", "( [", "] )"),
        ("{- it's {- -} (║", "{-", "-}"),
        ("-- it's (\nf x = x --> (║", "(", ")"),
    ],
    "ocaml": [
        ("(* it's (* *) (║", "(*", "*)"),
        ("let f (x : 'a) = '(' :: [║", "[", "]"),
        ("{id|it's ( |} |id} ^ f (║", "(", ")"),
    ],
    "erlang": [
        ('f() -> io:format("~p ($(", [║', "( [", "] )"),
        ("% it's (\nx() -> {║", "{", "}"),
        ('f([$( | "a"], $", {║', "( {", "} )"),
    ],
    "clojure": [
        ("(defn f [x] (str \\( \"it's ║", '( ( "', '" ) )'),
        ("; it's (\n'(a {:b #{║", "( { {", "} } )"),
    ],
    "scheme": [
        ("(let ((a '(1 2)) (b #\\( )) (f ║", "( (", ") )"),
        ("#| it's ( |# (a \"b║", '( "', '" )'),
    ],
    "fsharp": [
        ('printf $"{a + f(║', '$" { (', ') } "'),
        ("(* it's ( *) let f (x: 'a) = [║", "[", "]"),
    ],
    "nim": [
        ('echo fmt"{a(║', '" { (', ') } "'),
        ("#[ it's ( ]# f(║", "(", ")"),
    ],
    "pascal": [
        ("{ it's ( } writeln('it''s (', a[║", "( [", "] )"),
        ("(* it's ( *) x := f(║", "(", ")"),
    ],
    "ada": [
        ("-- it's (\nX := A'Length + F('(', ║", "(", ")"),
    ],
    "fortran": [
        ("! it's (\nprint *, 'it''s (', f(║", "(", ")"),
    ],
    "matlab": [
        ("a' * b(1)' + ['it''s ║", "[ '", "' ]"),
        ("% it's (\nx = {║", "{", "}"),
    ],
    "html": [
        ("<ul><li>a<br><p class=\"it's ║", '<ul <li <p "', '" > </li> </ul>'),
        ("<p>it's (</p><b>║", "<b", "</b>"),
        ("<script>\nif (a < b) { f(`${║", "<script { ( ` ${", "} ` ) } </script>"),
        ("<script>f(</script><style>a { b: url(║", "<style { (", ") } </style>"),
        ("<!-- <p> it's ║", "<!--", "-->"),
        ("<!doctype html><div><img src='a'></di║", "<div </di", "> </div>"),
        ("<ul><li>a<li>b</ul>║", "", ""),
    ],
    "xml": [
        ("<?xml version='1.0'?><a><b/><c d='║", "<a <c '", "' > </a>"),
        ("<a><![CDATA[ <b> it's ║", "<a <![CDATA[", "]]> </a>"),
    ],
    "vue": [
        ('<template><p :a="f(">{{ g({a: {b: 1}}, ║', "<template <p {{ (", ") }} </p> </template>"),
        ('<script setup lang="ts">\nconst a = ref<Fo║', "<script <", "> </script>"),
    ],
    "svelte": [
        ("{#each a as b}<p c={d(║", "<p { (", ") } >"),
        ("<script>let a = [║", "<script [", "] </script>"),
        ("{#if a}<b>it's</b>{/if}{f(║", "{ (", ") }"),
    ],
    "astro": [
        ("---\nconst a = f(║", "--- (", ") \\n---"),
        ("---\nconst a = 1\n---\n<p>it's --- {b(║", "<p { (", ") } </p>"),
    ],
    "erb": [
        ('<p><%= f("#{a║', '<p <% ( " #{', '} " ) %> </p>'),
    ],
    "handlebars": [
        ("<p>{{#if (a ║", "<p {{ (", ") }} </p>"),
        ("{{#if a}}{{/if}}<p>it's ║", "<p", "</p>"),
    ],
    "css": [
        ("a { b: url('║", "{ ( '", "' ) }"),
        ("/* it's { */ a {║", "{", "}"),
    ],
    "scss": [
        ('a { &:hover { b: "#{c(║', '{ { " #{ (', ') } " } }'),
        ("// it's {\n@mixin a($b: (║", "( (", ") )"),
    ],
    "yaml": [
        ("a: it's (\nb: {c: [1, '║", "{ [ '", "' ] }"),
        ("run: |\n  echo \"it's (\n  [║", "|", ""),
        ('run: |\n  echo "(\nb: [║', "[", "]"),
        ("a: b # it's {║", "#", ""),
    ],
    "toml": [
        ("a = 'it\\' # '\nb = [1, \"║", '[ "', '" ]'),
        ('a = """it\'s " (║', '"""', '"""'),
    ],
    "json": [
        ('{"a": [1, {"b": "it\'s \\"║', '{ [ { "', '" } ] }'),
    ],
    "terraform": [
        ('a = "${b("c║', '" ${ ( "', '" ) } "'),
        ("a = <<-EOT\n  it's ${b║", "<<-EOT ${", "} \\nEOT"),
    ],
    "nix": [
        ("a = ''it's ''${ ${b(║", "'' ${ (", ") } ''"),
    ],
    "dockerfile": [
        ("RUN echo 'a # (║", "'", "'"),
        ("# it's (\nCMD [\"║", '[ "', '" ]'),
    ],
    "makefile": [
        ("# it's (\na: $(wildcard b ║", "(", ")"),
    ],
    "cmake": [
        ("#[[ it's ( ]] set(a \"${║", '( " ${', '} " )'),
        ("set(a [=[ it's ]] ║", "( [=[", "]=] )"),
    ],
    "vim": [
        ("\" it's (\nlet a = 'it''s (' . f(║", "(", ")"),
        ('echo "a (║', '"', '"'),
    ],
    "latex": [
        ("\\frac{a}{\\{ % it's {\n[║", "{ [", "] }"),
    ],
    "proto": [
        ("// it's {\nmessage A { map<string, int32> a = 1; oneof b {║", "{ {", "} }"),
    ],
    "solidity": [
        ("/* it's { */ contract A { function f(uint a) { require(a > 0, \"║", '{ { ( "', '" ) } }'),
    ],
}


@pytest.mark.parametrize(
    ("language", "drawn", "opened", "closers"),
    [
        pytest.param(language, *row, id=f"{language}-{number}")
        for language, rows in ROWS.items()
        for number, row in enumerate(rows)
    ],
)
def test_what_is_open(language: str, drawn: str, opened: str, closers: str) -> None:
    table = language_of_id(language)
    assert table is not None
    text, _ = drawn.split("║")
    state = lexer_of(table).scan(text).state
    shown = [one.opener for one in state.stack if one.opener]
    assert " ".join(shown) == opened
    assert " ".join(closer.replace("\n", "\\n") for closer in state.closers) == closers
