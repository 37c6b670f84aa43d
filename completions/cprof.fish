# fish completion for cprof

# The words after -p: several, by commas.
function __cprof_spec
    set -l token (commandline -ct)
    set -l done (string replace -r '[^,]*$' '' -- $token)
    set -l last (string replace -r '.*,' '' -- $token)
    switch $last
        case 'trace=*'
            printf '%s\n' $done"trace="{threads,locks,syscalls,syscalls:full,all}
            return
        case 'unwind=*'
            printf '%s\n' $done"unwind="{auto,fp,libunwind}
            return
        case 'follow=*'
            printf '%s\n' $done"follow="{yes,no}
            return
    end
    printf '%s\t%s\n' \
        $done"cpu" "where CPU time goes" \
        $done"cpu=" "samples a second of CPU time (100)" \
        $done"wall" "where time goes, running or waiting" \
        $done"wall=" "looks a second (99)" \
        $done"heap" "who allocates, who keeps" \
        $done"heap=" "bytes between samples (512k)" \
        $done"block" "who waited" \
        $done"block=" "shortest wait (10us)" \
        $done"mutex" "who made others wait" \
        $done"mutex=" "one contended release in N (10)" \
        $done"threads" "what every thread is doing now" \
        $done"threadcreate" "who starts threads" \
        $done"trace" "what happened, in order" \
        $done"trace=" "level (all)" \
        $done"all" "every profile that this version has" \
        $done"ring=" "keep only the end of the trace" \
        $done"out=" "output directory" \
        $done"http=" "serve profiles at unix:PATH or 127.0.0.1:PORT" \
        $done"depth=" "frames of a stack (128)" \
        $done"memory=" "bound of the memory used (64m)" \
        $done"unwind=" "how stacks are walked (auto)" \
        $done"follow=" "child processes too (yes)" \
        $done"seed=" "samples of the heap that repeat (0)" \
        $done"block.io=" "waits for files and sockets too (off)" \
        $done"trace.on=" "REGION>DURATION, for a snapshot of the trace"
end

complete -c cprof -n __fish_use_subcommand -f -a run -d "Profile a program"
complete -c cprof -n __fish_use_subcommand -f -a top -d "The functions that cost most"
complete -c cprof -n __fish_use_subcommand -f -a tree -d "Callers and callees"
complete -c cprof -n __fish_use_subcommand -f -a peek -d "Callers and callees of some"
complete -c cprof -n __fish_use_subcommand -f -a list -d "Source lines with what each costs"
complete -c cprof -n __fish_use_subcommand -f -a traces -d "Whole stacks"
complete -c cprof -n __fish_use_subcommand -f -a tags -d "The labels"
complete -c cprof -n __fish_use_subcommand -f -a info -d "What a profile is"
complete -c cprof -n __fish_use_subcommand -f -a flame -d "The stacks as a picture"
complete -c cprof -n __fish_use_subcommand -f -a web -d "All of it in a browser"
complete -c cprof -n "__fish_seen_subcommand_from web" -o http -x -d "Where to be asked"
complete -c cprof -n "__fish_seen_subcommand_from web" -o no_browser -d "Print the URL only"
complete -c cprof -n "__fish_seen_subcommand_from web" -o open -d "Open a browser"
complete -c cprof -n "__fish_seen_subcommand_from web" -o idle_timeout -x -d "End when nobody asks"
complete -c cprof -n "__fish_seen_subcommand_from web" -o pprof -d "Hand over to pprof"
complete -c cprof -n __fish_use_subcommand -f -a raw -d "A profile as text"
complete -c cprof -n __fish_use_subcommand -f -a diff -d "What has changed, and is it chance"
complete -c cprof -n __fish_use_subcommand -f -a ctl -d "What a program that runs does"
complete -c cprof -n __fish_use_subcommand -f -a doctor -d "What works here"
complete -c cprof -n __fish_use_subcommand -f -a check -d "Is a profile sound"
complete -c cprof -n __fish_use_subcommand -f -a merge -d "Several profiles into one"
complete -c cprof -n __fish_use_subcommand -f -a export -d "For another viewer"
complete -c cprof -n __fish_use_subcommand -f -a symbolize -d "Names for addresses"
complete -c cprof -n __fish_use_subcommand -l version -d "Show the version"
complete -c cprof -l help -d "Show help"
complete -c cprof -n "__fish_seen_subcommand_from run" -s p -x -a "(__cprof_spec)" -d "What to profile"
complete -c cprof -n "__fish_seen_subcommand_from run" -s o -x -a "(__fish_complete_directories)" -d "Where to write"
complete -c cprof -n "__fish_seen_subcommand_from run" -a "(__fish_complete_subcommand --fcs-skip=2)"
complete -c cprof -n "__fish_seen_subcommand_from ctl" -f -a "(__fish_complete_pids) dump start status stop top cpu wall heap block mutex threads threadcreate trace"
complete -c cprof -n "__fish_seen_subcommand_from ctl" -s o -r -d "Where to write"
complete -c cprof -n "__fish_seen_subcommand_from ctl" -o seconds -x -d "A window from now on"
complete -c cprof -n "__fish_seen_subcommand_from ctl" -o debug -x -a "1 2" -d "As text"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags info raw check" -F
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o focus -x -d "Samples with a frame that matches"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o ignore -x -d "Samples without one"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o hide -x -d "Frames that are left out"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o show -x -d "Frames that are kept"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o show_from -x -d "From this frame on"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o prune_from -x -d "Not what this calls"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tagfocus -x -d "Samples with such labels"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tagignore -x -d "Samples without"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tagshow -x -d "Labels that are kept"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o taghide -x -d "Labels that are forgotten"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tagroot -x -d "Labels as outermost frames"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tagleaf -x -d "Labels as innermost frames"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o sample_index -x -d "Which column"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o unit -x -d "Of the numbers"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o divide_by -x -d "All values by this"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o nodecount -x -d "So many at most"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o nodefraction -x -d "Share of the total"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o edgefraction -x -d "Share of the total"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o base -r -d "Take away"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o diff_base -r -d "Take away, shares of it"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o trim_path -x -d "Taken off files"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o source_path -x -d "Directories of sources"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o granularity -x -d "What a line is"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o sort -x -d "Order"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o seconds -x -d "Of what is fetched"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o timeout -x -d "For what is fetched"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tls_ca -r -d "Who is trusted"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tls_cert -r -d "Shown to who asks"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o tls_key -r -d "Of that"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o symbolize -x -d "Names"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o cum -d "By what is below"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o flat -d "By what is in it"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o lines -d "A line is a source line"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o files -d "A line is a file"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o filefunctions -d "A line is a function in a file"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o functions -d "A line is a function"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o addresses -d "A line is an address"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o noinlines -d "Inlined calls are part of their caller"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o mean -d "For each"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o inuse_space -d "Bytes that are kept"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o inuse_objects -d "Blocks that are kept"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o alloc_space -d "Bytes allocated"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o alloc_objects -d "Blocks allocated"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o contentions -d "How many waits"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o total_delay -d "How long they took"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o mean_delay -d "How long each took"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o idle -d "Idle waits, too"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o relative_percentages -d "Of what is left"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o drop_negative -d "Not below zero"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o compact_labels -d "Short header"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o normalize -d "Scaled to the base"
complete -c cprof -n "__fish_seen_subcommand_from top web tree peek list traces tags raw" -o call_tree -d "Changes no text"
complete -c cprof -n "__fish_seen_subcommand_from merge export symbolize" -F
complete -c cprof -n "__fish_seen_subcommand_from export" -o format -x -a "folded speedscope firefox callgrind gperftools" -d "For which viewer"
complete -c cprof -n "__fish_seen_subcommand_from merge export symbolize" -s o -r -d "Where to write"
complete -c cprof -n "__fish_seen_subcommand_from symbolize" -o build-id-dir -x -a "(__fish_complete_directories)" -d "Look there, too"
complete -c cprof -n "__fish_seen_subcommand_from symbolize" -o debuginfod -d "Ask the servers of DEBUGINFOD_URLS"
complete -c cprof -n "__fish_seen_subcommand_from symbolize" -o force -d "Also where there are names"
complete -c cprof -n "__fish_seen_subcommand_from info" -o all -d "Lists are not cut"
complete -c cprof -n "__fish_seen_subcommand_from diff" -F
complete -c cprof -n "__fish_seen_subcommand_from diff" -o base -r -d "Profiles before"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o new -r -d "Profiles after"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o fail-on -x -d "A condition, such as flat_share>+2pp"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o min-share -x -d "What is tested (0.5%)"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o alpha -x -d "Chance of a false alarm (0.05)"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o absolute -d "Totals of a run"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o cum -d "With what functions call"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o markdown -d "For a pull request"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o json -d "For programs"
complete -c cprof -n "__fish_seen_subcommand_from diff" -o nodecount -x -d "At most so many rows"
complete -c cprof -n "__fish_seen_subcommand_from doctor" -a "(__fish_complete_pids) (__fish_complete_command)"
complete -c cprof -n "__fish_seen_subcommand_from doctor" -o json -d "As JSON"
complete -c cprof -n "__fish_seen_subcommand_from flame" -F
complete -c cprof -n "__fish_seen_subcommand_from flame" -s o -r -d "Where to write"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o text -d "Lines of text"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o svg -d "A drawing without scripts"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o diff_base -r -d "What has changed since this profile"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o normalize -d "That profile's total is taken as the same"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o inverted -d "Callers below what they call"
complete -c cprof -n "__fish_seen_subcommand_from flame" -o flames -d "Roots at the bottom"
