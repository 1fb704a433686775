# The table of tools/bench-linux for one width:
# awk -v arch=x86_64 -f tools/bench-linux.awk bench/linux.tsv build/bench-linux.tsv
#
# What Linux takes for a page, at its fastest without ERMS: `rep stosq` and `rep movsq` on x86_64, `rep stosl` and `rep
# movsl` on i386, an instruction for each word, and the call. It can't be measured from ring 3.
BEGIN {
    FS = "\t"
    linux_page = arch == "x86_64" ? 520 : 1040
}
/^#/ { next }
FILENAME ~ /linux.tsv$/ && FILENAME !~ /bench-linux.tsv$/ {
    cases[++count] = $1; pages[$1] = $2; goal[$1] = arch == "x86_64" ? $3 : $4; title[$1] = $5
    next
}
$1 == arch && $4 == "instructions" { median[$2, $3] = $5 }

function ratio(ours, theirs) { return theirs > 0 && ours > 0 ? sprintf("%.2f", ours / theirs) : "-" }
END {
    clear = median["clear-page", "xelix-mm"]; copy = median["copy-page", "xelix-mm"]
    if (!clear || !copy) { print "bench-linux: no figure for clearing or copying a page"; exit 1 }
    printf "%-34s %7s %10s %9s %6s %6s %9s %9s %6s\n", arch ": instructions", "goal", "xelix-mm  ", "Linux",
        "ratio", "pages", "xelix-mm*", "Linux*", "ratio*"
    for (i = 1; i <= count; i++) {
        name = cases[i]
        ours = median[name, "xelix-mm"]; theirs = median[name, "linux"]
        if (ours == "" || theirs == "") { print "bench-linux: no figure for " name; missing = 1; continue }
        page = name ~ /^fork-fault/ ? copy : clear
        rest = ours - pages[name] * page; their_rest = theirs - pages[name] * linux_page
        mark = goal[name] == "-" ? " " : ours <= goal[name] ? "+" : "!"
        if (mark == "+") reached++
        if (mark != " ") goals++
        printf "%-34s %7s %8d %s %9d %6s %6d %9d %9d %6s\n", title[name], goal[name], ours, mark, theirs,
            ratio(ours, theirs), pages[name], rest, their_rest, ratio(rest, their_rest)
    }
    printf "* without the pages cleared or copied: %d to clear and %d to copy one with us, %d with Linux.\n",
        clear, copy, linux_page
    printf "+ a goal is reached, ! it isn't: %d of %d are.\n", reached, goals
    exit missing
}
