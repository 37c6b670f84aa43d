# bash completion for cprof

# The words after -p: several, by commas, so only what follows the last comma is completed.
_cprof_spec()
{
	local words='cpu cpu= wall wall= heap heap= block block= mutex mutex= threads threadcreate
		trace trace= all ring= out= http= depth= memory= unwind= follow= seed= block.io= trace.on='
	local done= last=$1 word

	if [[ $1 == *,* ]]; then
		done=${1%,*},
		last=${1##*,}
	fi
	case $last in
	trace=*) words='trace=threads trace=locks trace=syscalls trace=syscalls:full trace=all' ;;
	unwind=*) words='unwind=auto unwind=fp unwind=libunwind' ;;
	follow=*) words='follow=yes follow=no' ;;
	esac
	compopt -o nospace
	COMPREPLY=()
	for word in $words; do
		[[ $word != "$last"* ]] || COMPREPLY+=("$done$word")
	done
	# bash splits at "=" and ":" and replaces only the part behind.
	local cut=
	[[ $1 != *[=:]* ]] || cut=${1%"${1##*[=:]}"}
	COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}

# The options of top and of what else prints a report, in $REPLY: those with a value end in =.
_cprof_report_options()
{
	local values='focus ignore hide show show_from prune_from tagfocus tagignore tagshow taghide
		tagroot tagleaf sample_index unit divide_by nodecount nodefraction edgefraction base diff_base
		trim_path source_path granularity sort symbolize seconds timeout tls_ca tls_cert tls_key'
	local flags='cum flat functions filefunctions files lines addresses noinlines mean inuse_space
		inuse_objects alloc_space alloc_objects contentions total_delay mean_delay idle relative_percentages
		drop_negative compact_labels normalize call_tree'

	REPLY="--help -trim=false $(printf ' -%s=' $values) $(printf ' -%s' $flags)"
}

# What stands before the cursor from the last blank on, whatever bash splits at.
_cprof_typed()
{
	local line=${COMP_LINE:0:COMP_POINT}

	REPLY=${line##*[[:space:]]}
}

_cprof()
{
	local word=${COMP_WORDS[COMP_CWORD]} i=2 command=${COMP_WORDS[1]} REPLY before

	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W 'run top flame web tree peek list traces tags info raw diff ctl doctor check merge export symbolize --help --version' -- "$word"))
		return
	fi
	if [[ $command == ctl && ${COMP_WORDS[COMP_CWORD - 1]} != -o ]]; then
		case $COMP_CWORD in
		2) COMPREPLY=($(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word")) ;;
		3) COMPREPLY=($(compgen -W 'dump start status stop top --help' -- "$word")) ;;
		4) COMPREPLY=($(compgen -W 'cpu wall heap block mutex threads threadcreate trace' -- "$word")) ;;
		*) COMPREPLY=($(compgen -W '-o -seconds -debug' -- "$word")) ;;
		esac
		return
	fi
	if [[ $command == flame && $word == -* ]]; then
		COMPREPLY=($(compgen -W '-o -text -svg -diff_base= -normalize -inverted -flames -width= -nodefraction= -trim=false
			-sample_index= -unit= -divide_by= -focus= -ignore= -tagfocus= -tagignore= -idle -show= -hide= -show_from= -noinlines
			-functions -filefunctions -files -lines -addresses -symbolize=none --help' -- "$word"))
		return
	fi
	if [[ $command == doctor ]]; then
		if [[ $word == -* ]]; then
			COMPREPLY=($(compgen -W '-json --help' -- "$word"))
		else
			COMPREPLY=($(compgen -A command -A file -W "$(cd /proc && echo [0-9]*)" -- "$word"))
		fi
		return
	fi
	if [[ $command == export && $COMP_LINE =~ -format[=\ ]*[a-z]*$ ]]; then
		COMPREPLY=($(compgen -W 'folded speedscope firefox callgrind gperftools' -- "${word#=}"))
		return
	fi
	if [[ $command != run ]]; then
		REPLY=--help
		case $command in
		top | tree | peek | list | traces | tags | raw) _cprof_report_options ;;
		web) _cprof_report_options && REPLY+=' -http= -no_browser -open -idle_timeout= -pprof' ;;
		info) REPLY='--help -all' ;;
		diff) REPLY='--help -base -new -fail-on -min-share -alpha -absolute -flat -cum -markdown -json -nodecount -sample_index
			-focus -ignore -tagfocus -tagignore -idle -show -hide -show_from' ;;
		merge) REPLY='--help -o -seconds= -timeout=' ;;
		export) _cprof_report_options && REPLY+=' -o -format=' ;;
		symbolize) REPLY='--help -o -build-id-dir= -debuginfod -force -seconds= -timeout=' ;;
		esac
		if [[ $word == -* ]]; then
			COMPREPLY=($(compgen -W "$REPLY" -- "$word"))
			[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
		else
			compopt -o filenames
			COMPREPLY=($(compgen -f -- "$word"))
		fi
		return
	fi

	_cprof_typed
	before=${COMP_LINE:0:COMP_POINT-${#REPLY}}
	before=${before%"${before##*[![:space:]]}"}
	case ${before##*[[:space:]]} in
	-p)
		_cprof_spec "$REPLY"
		return
		;;
	-o)
		compopt -o filenames
		COMPREPLY=($(compgen -d -- "$word"))
		return
		;;
	esac

	# Past the options stands the program with its own arguments.
	while ((i < COMP_CWORD)); do
		case ${COMP_WORDS[i]} in
		-p | -o) ((i += 2)) ;;
		--) ((i++)) && break ;;
		-*) ((i++)) ;;
		*) [[ ${COMP_WORDS[i]} == [=:] || ${COMP_WORDS[i - 1]} == [=:] ]] || break
			((i++)) ;;
		esac
	done
	if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
		_command_offset $i
	elif [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W '-p -o -- --help' -- "$word"))
	else
		COMPREPLY=($(compgen -A command -A file -- "$word"))
	fi
}

complete -F _cprof cprof
