# What failed in logs of `cargo test`: a line for each failed test and, below it, what it said when it
# panicked; as many lines as there is room for. What tests said that passed (`--show-output`) is left out.
#
# Usage: awk -v room=40 -f .ci/failures.awk LOG…

function noted(text) {
    if (length(text) > 200) text = substr(text, 1, 200) " …"
    said[name, ++lines[name]] = text
}

FNR == 1 {
    part = name = binary = ""
    log_name = FILENAME
    gsub(/.*\/|\.log$/, "", log_name)
}

# "     Running tests/it/main.rs (target/debug/deps/it-0123456789abcdef)", "   Doc-tests swarm_bus"
/^ +(Running|Doc-tests) / {
    part = ""
    binary = $0
    sub(/^ +(Running )?/, "", binary)
}
# A program that ended before its tests did has no list of them.
/^  process didn't exit successfully: .*\(signal: / {
    part = ""
    test[++count] = log_name ": " $0
}
/^(successes|failures):$/ {
    part = $1
    name = ""
    saying = 0
    next
}
/^test result: / { part = "" }
part != "failures:" { next }

/^---- .* stdout ----$/ {
    name = binary substr($0, 6, length($0) - 17)
    saying = 0
    next
}
# The list at the end names those too that said nothing.
name == "" && /^    [^ ]/ {
    test[++count] = log_name ": " substr($0, 5) ", " binary
    key[count] = binary substr($0, 5)
    next
}
/ panicked at / { saying = 1 }
/^(note: |stack backtrace:)/ { saying = 0 }
(saying && NF) || /^Error: / { noted($0) }

END {
    each = count ? int(room / count) : 0
    for (n = 1; n <= count; n++) {
        if (n == room && n < count) {
            print "        … and " count - n + 1 " more"
            exit
        }
        print "FAILED  " test[n]
        for (line = 1; line <= lines[key[n]] && line < each; line++) print "        " said[key[n], line]
    }
}
