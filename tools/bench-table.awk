# The table of tools/bench, from build/bench.tsv: a group for pages, one for the heap, one for the rest; in each a line
# for each case and unit. On the left of the bar ours and the others on host64, on the right ours in the other places.
# Medians. A column that a group has no figure for is left out.
BEGIN {
    FS = "\t"
    whos = "xelix-mm-canary xelix-mm-guard buddy free-stack mimalloc jemalloc tcmalloc_minimal glibc"
    others = split(whos, other, " ")
    split("canary guard buddy free-stack mimalloc jemalloc tcmalloc glibc", other_title, " ")
    places = split("host32 guest-x86_64 guest-i386 guest-x86_64-16p", place, " ")
    split("host32 x86_64 i386 x86_64-16p", place_title, " ")
    units = split("instructions ns ratio bytes", unit, " ")
}
function group_of(name) { return name ~ /^page-/ ? 1 : name ~ /^heap-/ ? 2 : 3 }

NR == 1 || $4 == "ns ratio" || $3 ~ /\// || $3 == "harness" { next }
{
    g = group_of($2)
    if (!($2 in seen)) { seen[$2] = 1; cases[g, ++count[g]] = $2; if (length($2) > width[g]) width[g] = length($2) }
    key = $2 FS $4
    present[key] = used[g, $1, $3] = 1
    value[key, $1, $3] = $5 ($9 == "yes" ? " +" : $9 == "no" ? " !" : "  ")
    if ($1 == "host64" && $3 == "xelix-mm" && $8 != "-") goal[key] = $8
}

function cell(text, columns) { printf "%" columns "s", text }
function head(g,   i) {
    printf "%-" width[g] "s %-5s", "case", "unit"
    cell("goal", 6); cell("xelix-mm  ", 11)
    for (i = 1; i <= others; i++) if ((g, "host64", other[i]) in used) cell(other_title[i] "  ", 12)
    printf " |"
    for (i = 1; i <= places; i++) if ((g, place[i], "xelix-mm") in used) cell(place_title[i] "  ", 12)
    print ""
}
function line(g, name, unit,   key, i) {
    key = name FS unit
    if (!(key in present)) return
    printf "%-" width[g] "s %-5s", name, unit == "instructions" ? "instr" : unit
    cell(goal[key], 6); cell(value[key, "host64", "xelix-mm"], 11)
    for (i = 1; i <= others; i++) if ((g, "host64", other[i]) in used) cell(value[key, "host64", other[i]], 12)
    printf " |"
    for (i = 1; i <= places; i++) if ((g, place[i], "xelix-mm") in used) cell(value[key, place[i], "xelix-mm"], 12)
    print ""
}

END {
    for (g = 1; g <= 3; g++) {
        if (count[g] == 0) continue
        head(g)
        for (u = 1; u <= units; u++) for (c = 1; c <= count[g]; c++) line(g, cases[g, c], unit[u])
        print ""
    }
    print "Medians for one operation: instructions (instr), and time by the clock (ns), which is noisy. Left of the bar"
    print "host64, right of it ours elsewhere. + a goal is reached, ! it isn't. build/bench.tsv has all places, ratios,"
    print "least and most."
}
