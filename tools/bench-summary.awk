# From what the places said to build/bench.tsv:
# awk -f tools/bench-summary.awk bench/goals.tsv build/bench-raw/PLACE.PART...
#
# An instruction figure is for one operation, the meter and the harness subtracted: each sample's own harness, since the
# loop of a mixed case differs from sample to sample. A time is with the harness, since a processor does both at once.
# A ratio of A/B is the quotient of the two medians. Goals are ours, and of the middle.
BEGIN { FS = OFS = "\t"; OURS = "xelix-mm" }

function stop(why) { print "bench: " FILENAME ": " why > "/dev/stderr"; wrong = 1; exit 1 }
function number(value, unit) {
    if (unit ~ /ratio$/) return sprintf("%.3f", value)
    return value == int(value) ? sprintf("%d", value) : sprintf("%.1f", value)
}
# The values of a row, sorted.
function add(case_name, who, unit, value,   row, i) {
    row = place OFS case_name OFS who OFS unit
    if (!(row in count)) { rows[++row_count] = row; count[row] = 0 }
    for (i = count[row]++; i > 0 && list[row, i - 1] > value; i--) list[row, i] = list[row, i - 1]
    list[row, i] = value
}
function middle(row) { return list[row, int((count[row] - 1) / 2)] }
function show(row, least, median, most,   part, key, goal, reached) {
    split(row, part, OFS)
    key = part[2] OFS part[3] OFS part[4]
    goal = part[1] ~ /^host/ ? host_goal[key] : guest_goal[key]
    if (goal == "" || goal == "-") goal = reached = "-"
    else reached = median <= goal ? "yes" : "no"
    print row, number(median, part[4]), number(least, part[4]), number(most, part[4]), goal, reached
}

FILENAME ~ /goals.tsv$/ {
    if ($0 !~ /^#/) { host_goal[$1 OFS $2 OFS $3] = $4; guest_goal[$1 OFS $2 OFS $3] = $5 }
    next
}
FNR == 1 {
    place = FILENAME; sub(/.*\//, "", place); sub(/\..*/, "", place)
    empty = -1; empty_time = -1
    split("", seen); split("", harness)
}
$1 == "sample" && $2 == "meter-empty" {
    if (empty >= 0 && $6 != empty) stop("the meter itself took " empty " instructions, then " $6)
    empty = $6
}
$2 == "meter-known-2000" && $1 == "sample" && ($6 - empty < 2000 || $6 - empty > 2004) {
    stop("a loop of 2000 instructions counts as " $6 - empty)
}
$1 == "time" && $2 == "meter-empty" { if (empty_time < 0 || $6 < empty_time) empty_time = $6 }
$2 ~ /^meter-/ { next }
$1 == "sample" {
    counted = $6 - $5 * empty
    turn = ++seen[$2, $3]
    if ($3 == "harness") harness[$2, turn] = counted
    else add($2, $3, "instructions", (counted - harness[$2, turn]) / $4)
}
$1 == "time" { add($2, $3, "ns", ($6 - $5 * empty_time) / $4) }
$1 == "figure" { if (!((place OFS $2 OFS $3 OFS $4) in count)) add($2, $3, $4, $5 / $6) }

END {
    if (wrong) exit 1
    print "place", "case", "who", "unit", "median", "min", "max", "goal", "reached"
    for (r = 1; r <= row_count; r++) {
        row = rows[r]; split(row, part, OFS)
        show(row, list[row, 0], middle(row), list[row, count[row] - 1])
        ours = part[1] OFS part[2] OFS OURS OFS part[4]
        if (part[3] == OURS || part[3] == "harness" || !(ours in count) || !(part[4] in ratio_of)) continue
        first = ours; second = row; pair = OURS "/" part[3]
        if (part[3] ~ "^" OURS "-") { first = row; second = ours; pair = part[3] "/" OURS }
        if (middle(second) > 0) {
            ratio = middle(first) / middle(second)
            show(part[1] OFS part[2] OFS pair OFS ratio_of[part[4]], ratio, ratio, ratio)
        }
    }
}
BEGIN { ratio_of["instructions"] = "ratio"; ratio_of["ns"] = "ns ratio" }
