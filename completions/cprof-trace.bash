# bash completion for cprof-trace

_cprof_trace()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' i operands=0
	local types='thread.* join.* syscall* fd.* lock.* cond.* sem.* barrier.* once.* futex.* sched.* sample.* task.*
		region.* flow.* log counter heap signal library lost clock.sync'
	local common='--no-symbols --strict --color --no-pager --quiet --verbose --help --version'
	local range='--from --to --threads' output='--output --force'
	local table='--sort --reverse --limit --json --csv --output --force'
	local waits='--lock --min --include-idle'
	local -A options=(
		[blocked]="$table $range $waits --kind --by --depth"
		[chain]="$output --json --csv --at --thread"
		[check]="$output --json"
		[cut]="$output $range --drop"
		[events]="$output $range --type --stacks --raw --limit --format --json --csv"
		[export]="$output $range"
		[info]="$output --json"
		[pprof]="$output $range --by --label --include-idle"
		[locks]="$table $range $waits --by --order --dot --chains --held-across"
		[repair]="$output"
		[symbolize]="$output --debug-dir --debuginfod"
		[threads]="$table $range --group"
		[diff]="$table $range --per --threshold --fail-if"
		[summary]="$output $range --json --include-idle"
		[syscalls]="$table $range --by --errors --histogram --slower --min --include-idle"
		[tasks]="$table $range --min --type --slowest --histogram --task"
		[regions]="$table $range --min --type --slowest --histogram --task"
		[critical-path]="$output --from --to --limit --json --csv --task --region --nth --thread --causes --intervals"
		[timeline]="$output $range --port --http --open --no-open --at --select --source-root --html --html-size --idle-timeout --text --interactive --group --sort --reverse --limit --width --ascii --blocks --exact --no-cache"
	)

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*)
			if [[ -n ${options[${COMP_WORDS[i]}]:-} ]]; then
				command=${COMP_WORDS[i]}
			else
				((operands++))
			fi
			;;
		esac
	done
	case $before in
	-o | --output)
		compopt -o filenames
		COMPREPLY=($(compgen -f -- "$word"))
		return
		;;
	--color)
		COMPREPLY=($(compgen -W 'auto always never' -- "$word"))
		return
		;;
	--format)
		COMPREPLY=($(compgen -W 'text json csv' -- "$word"))
		return
		;;
	pprof)
		COMPREPLY=($(compgen -W 'sync lock cond syscall sched sleep idle offcpu cpu all' -- "$word"))
		return
		;;
	export)
		COMPREPLY=($(compgen -W 'perfetto chrome-json speedscope firefox folded csv' -- "$word"))
		return
		;;
	--label)
		COMPREPLY=($(compgen -W 'thread lock syscall kind path holder task_type none' -- "$word"))
		return
		;;
	--group)
		COMPREPLY=($(compgen -W 'name start none' -- "$word"))
		return
		;;
	--debug-dir)
		compopt -o filenames
		COMPREPLY=($(compgen -d -- "$word"))
		return
		;;
	--by)
		case $command in
		locks) COMPREPLY=($(compgen -W 'lock site holder' -- "$word")) ;;
		blocked | pprof) COMPREPLY=($(compgen -W 'waiter holder' -- "$word")) ;;
		syscalls) COMPREPLY=($(compgen -W 'number file path peer thread stack' -- "$word")) ;;
		esac
		return
		;;
	--per)
		COMPREPLY=($(compgen -W 'none second task' -- "$word"))
		return
		;;
	--held-across)
		COMPREPLY=($(compgen -W 'syscall wait any' -- "$word"))
		return
		;;
	--kind)
		COMPREPLY=($(compgen -W 'lock cond syscall sched sleep idle all' -- "$word"))
		return
		;;
	-t | --type | --drop)
		[[ $command == tasks || $command == regions ]] && return
		set -f
		COMPREPLY=($(compgen -W "$types" -- "$word"))
		set +f
		return
		;;
	--threads | --from | --to | --limit | --sort | --min | --at | --lock | --depth | --slower | --threshold | --fail-if | \
		--slowest | --task | --region | --nth | --thread | --intervals | --width)
		return
		;;
	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$common ${options[${command:-summary}]}" -- "$word"))
		return
	fi
	if [[ -z $command && $operands -gt 0 ]]; then
		COMPREPLY=($(compgen -W "${!options[*]}" -- "$word"))
		return
	fi
	compopt -o filenames
	COMPREPLY=($(compgen -f -- "$word"))
}

complete -F _cprof_trace cprof-trace
