# The table of tools/bench, from build/bench.tsv: a line for each case and unit. On the left ours and the others on host64,
# on the right ours in the other places. Medians.
BEGIN {
    FS = "\t"
    others = split("xelix-mm-canary xelix-mm-guard buddy free-stack mimalloc jemalloc tcmalloc_minimal glibc", other, " ")
    places = split("host32 guest-x86_64 guest-i386 guest-x86_64-16p", place, " ")
    split("canary guard buddy free-stack mimalloc jemalloc tcmalloc glibc", title, " ")
    split("host32 x86_64 i386 x86_64-16p", place_title, " ")
}
NR == 1 || $4 == "ns ratio" || $3 ~ /\// { next }
{
    key = $2 FS $4
    if (!($2 in seen)) { seen[$2] = 1; cases[++case_count] = $2 }
    value[key] = 1
    value[key, $1, $3] = $5 ($9 == "yes" ? " +" : $9 == "no" ? " !" : "  ")
    if ($1 == "host64" && $3 == "xelix-mm") goal[key] = $8
}
function cell(text, width) { printf "%" width "s", text }
function line(name, unit,   key, i) {
    key = name FS unit
    if (!(key in value)) return
    printf "%-34s %-6s", name, unit == "instructions" ? "instr" : unit
    cell(goal[key] == "-" ? "" : goal[key], 6); cell(value[key, "host64", "xelix-mm"], 11)
    for (i = 1; i <= others; i++) cell(value[key, "host64", other[i]], 10)
    printf " |"
    for (i = 1; i <= places; i++) cell(value[key, place[i], "xelix-mm"], 12)
    print ""
}
END {
    printf "%-34s %-6s", "case", "unit"
    cell("goal", 6); cell("xelix-mm  ", 11)
    for (i = 1; i <= others; i++) cell(title[i] "  ", 10)
    printf " |"
    for (i = 1; i <= places; i++) cell(place_title[i] "  ", 12)
    print ""
    units = split("instructions ns ratio bytes", unit, " ")
    for (u = 1; u <= units; u++) for (c = 1; c <= case_count; c++) line(cases[c], unit[u])
    print "Medians for one operation, by instructions (instr) and by the clock (ns, which doesn't repeat). Left of the bar host64,"
    print "right of it the other places. + a goal is reached, ! it isn't; build/bench.tsv has all places, ratios, least and most."
}
