//! Values in code of programs that are not shells, and in options that name a command.

use super::refused;

#[test]
fn a_value_as_an_argument_of_its_own_is_allowed_whatever_the_program() {
    for command in [
        r#"awk '{print $1}' {{ item }}; awk -F, -v x={{ item }} '$1 == x' f; awk -f {{ out }}/p.awk {{ item }}"#,
        r#"awk 'BEGIN { print ENVIRON["N"] }' {{ item }}; gawk -e '{print}' {{ item }}; awk {{ item }} f"#,
        r#"sed 's/a/b/' {{ item }}; sed -i.bak -e 's/a/b/' -e 2d {{ item }}; sed -n '1,5p' < {{ item }}; sed -f x.sed {{ item }}"#,
        r#"python3 x.py {{ item }}; python3 -c 'import sys; print(sys.argv[1])' {{ item }}; python3 -c {{ item }}"#,
        r#"python3 -m json.tool {{ item }}; python3 -m venv {{ out }}/v; python3 -u -W ignore x.py -c {{ item }}"#,
        r#"perl -ne 'print if /x/' < {{ item }}; perl -i.bak -pe 's/a/b/' {{ item }}; perl -MJSON -e 'print 1' {{ item }}"#,
        r#"ruby -e 'puts ARGV[0]' {{ item }}; node -e 'console.log(1)' {{ item }}; node x.js --eval {{ item }}; php -r 'echo 1;' {{ item }}"#,
        r#"node -r ./setup.js x.js {{ item }}; php -f x.php {{ item }}; lua x.lua {{ item }}; Rscript x.R {{ item }}"#,
        r#"find . -name {{ item }} -exec sed -i 's/a/b/' {} +; find {{ item }} -exec gzip {} \;; find {{ item }} -exec sh -c 'ls "$1"' _ {} \;"#,
        r#"xargs -I % sed 's/a/b/' % < {{ item }}; find {{ item }} -print0 | xargs -0 awk '{print}'"#,
        r#"xargs -d I sh -c 'echo I' < {{ item }}; xargs -0rn 1 busybox gzip < {{ item }}; busybox xargs -I% gzip % < {{ item }}"#,
        r#"tar -czf {{ out }}/a.tgz {{ item }}; tar xf {{ item }} -C {{ out }}; tar --checkpoint=1 --checkpoint-action=echo -cf x {{ item }}"#,
        r#"rsync -a -e 'ssh -p 22' -- {{ item }} host:/x; scp -- {{ item }} host:x; ssh -p 22 -- {{ item }} uptime; ssh host uptime"#,
        r#"git -c user.name={{ item }} commit -m {{ item }}; git clone -- {{ item }} x; git -C {{ item }} pull; git log {{ item }}"#,
        r#"make -C {{ item }} all; make -f {{ item }}; parallel gzip ::: {{ item }}; parallel -j 2 'gzip {}' ::: {{ item }} b"#,
        r#"GIT_SSH_COMMAND='ssh -i "$N"' git pull; PATH={{ params.bin }}:$PATH tool; vim -es -- {{ item }}"#,
        r#"watch -x ls {{ item }}; sort {{ item }}; split -l 5 {{ item }}; psql -f {{ item }} -d {{ params.db }}; sqlite3 {{ item }} '.tables'"#,
        r#"env A={{ item }} tool {{ item }}; env -i A=1 tool {{ item }}; mysql -u me -pX db < {{ item }}; cp awk x{{ item }}"#,
        r#"cat {{ item }} | python3 x.py; cat {{ item }} | sed 's/a/b/' | awk '{print}' | perl -ne 'print'; sudo awk '{print}' {{ item }}"#,
        r#"code='print(1)'; python3 -c "$code" {{ item }}; for f in *.c; do awk "/$f/" x; done; which python3 perl; apt-get install sed awk"#,
    ] {
        assert_eq!(refused(command), None, "{command}");
    }
}

#[test]
fn a_value_inside_of_code_is_refused() {
    for (command, place) in [
        (r#"awk '/'{{ item }}'/ {print}' f"#, "`awk` runs"),
        (r#"awk -F, "\$1 == \"$N\"" f"#, "`awk` runs"),
        (r#"gawk -e '/'{{ item }}'/' f"#, "`gawk` runs"),
        (r#"sudo awk '/'{{ item }}'/' f"#, "`awk` runs"),
        (r#"busybox awk '/'{{ item }}'/' f"#, "`awk` runs"),
        (r#"sed s/a/{{ item }}/ f"#, "`sed` runs"),
        (r#"sed -n -e "s/a/$N/e" f"#, "`sed` runs"),
        (r#"sed -i.bak "s/a/$N/" f"#, "`sed` runs"),
        (r#"sed --expression=s/a/{{ item }}/ f"#, "`sed` runs"),
        (r#"python3 -c 'print("'{{ item }}'")'"#, "`python3` runs"),
        (r#"python3.12 -uc "print('$WINDLASS_ITEM')""#, "`python3.12` runs"),
        (r#"code="print('$N')"; python3 -c "$code""#, "`python3` runs"),
        (r#"perl -ne 'print if /'{{ item }}'/' f"#, "`perl` runs"),
        (r#"perl -e"print '$N'""#, "`perl` runs"),
        (r#"perl -MPOSIX -lane "print '$N'" f"#, "`perl` runs"),
        (r#"perl -M'Foo '{{ item }} x.pl"#, "`perl` runs"),
        (r#"perl -ne 'print' {{ item }}"#, "with a `|`"),
        (r#"perl -lpe 's/a/b/' {{ out }}/{{ item }}"#, "with a `|`"),
        (r#"vim -es {{ item }}"#, "begins with a dash"),
        (r#"GIT_SSH_COMMAND={{ item }} git pull"#, "`GIT_SSH_COMMAND`"),
        (r#"export PAGER={{ item }}; git log"#, "`PAGER`"),
        (r#"env MAKEFLAGS={{ item }} make"#, "`MAKEFLAGS`"),
        (r#"ruby -e "puts '$N'""#, "`ruby` runs"),
        (r#"node -pe "'$N'""#, "`node` runs"),
        (r#"node --eval="'$N'""#, "`node` runs"),
        (r#"php -r "echo '$N';""#, "`php` runs"),
        (r#"lua -e "print('$N')""#, "`lua` runs"),
        (r#"find . -exec perl -e "print '$N'" \;"#, "`perl` runs"),
        (r#"find {{ item }} -exec sh -c 'ls {}' \;"#, "as `{}`"),
        (r#"find {{ item }} -exec perl -e 'print "{}"' \;"#, "as `{}`"),
        (r#"echo {{ item }} | xargs -I% python3 -c 'print("%")'"#, "another shell"),
        (r#"echo {{ item }} | python3"#, "`python3` reads"),
        (r#"perl <<< "$N""#, "`perl` reads"),
        (r#"sqlite3 my.db "select '$N'""#, "`sqlite3` runs"),
        (r#"psql -c "select '$N'""#, "`psql` runs"),
        (r#"mysql -e "select '$N'" db"#, "`mysql` runs"),
        (r#"echo {{ item }} | at now"#, "`at` reads"),
        (r#"watch ls {{ item }}"#, "`watch` runs"),
        (r#"watch -n 5 "ls $N""#, "`watch` runs"),
        (r#"parallel echo {{ item }} ::: a"#, "`parallel`"),
        (r#"parallel ::: {{ item }}"#, "`parallel`"),
        (r#"echo {{ item }} | parallel"#, "`parallel`"),
        (r#"make X={{ item }}"#, "`make`"),
        (r#"make {{ item }}"#, "`make`"),
        (r#"git -c alias.x='!'{{ item }} x"#, "`alias.x`"),
        (r#"git -c core.pager={{ item }} log"#, "`core.pager`"),
        (r#"git rebase -x "test $N" main"#, "`git -x` runs"),
        (r#"git submodule foreach "ls $N""#, "foreach"),
        (r#"git clone {{ item }}"#, "begins with a dash"),
        (r#"git ls-remote --upload-pack={{ item }} x"#, "`git --upload-pack` runs"),
        (r#"tar -cf x --checkpoint=1 --checkpoint-action=exec={{ item }} f"#, "`tar --checkpoint-action` runs"),
        (r#"tar -cf x -I {{ item }} f"#, "`tar -I` runs"),
        (r#"rsync -e "ssh -i $N" a b"#, "`rsync -e` runs"),
        (r#"ssh {{ item }} uptime"#, "begins with a dash"),
        (r#"scp {{ item }} host:x"#, "begins with a dash"),
        (r#"ssh -o ProxyCommand={{ item }} host"#, "`ssh -o` runs"),
        (r#"env {{ item }} tool"#, "begins with a dash"),
        (r#"env -S {{ item }}" tool""#, "`env` splits"),
        (r#"split --filter={{ item }} f"#, "`split --filter` runs"),
        (r#"su -c "ls $N" me"#, "another shell"),
    ] {
        let said = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
        assert!(said.contains(place) && !said.contains('\0'), "{command}: {said}");
    }
}

#[test]
fn what_xargs_puts_into_code_and_what_busybox_starts_is_refused() {
    for (command, place) in [
        (r#"echo {{ item }} | xargs --replace=% sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | xargs --replace sh -c 'echo {}'"#, "another shell"),
        (r#"echo {{ item }} | xargs --rep=% sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | xargs -rI% sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | xargs -0I % sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | busybox xargs -I% sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | timeout 5 xargs -I% sh -c 'echo %'"#, "another shell"),
        (r#"echo {{ item }} | sudo busybox xargs -I% python3 -c 'print("%")'"#, "another shell"),
        (r#"busybox find {{ item }} -exec sh -c 'ls {}' \;"#, "as `{}`"),
        (r#"busybox flock x -c "ls $N""#, "another shell"),
        (r#"busybox env PS4={{ item }} sh -xc :"#, "`PS4`"),
        (r#"busybox watch ls {{ item }}"#, "`watch` runs"),
        (r#"/bin/busybox vi {{ item }}"#, "begins with a dash"),
        (r#"SHLVL={{ item }} zsh x"#, "`SHLVL`"),
        (r#"TRY_BLOCK_ERROR={{ item }}; TRY_BLOCK_INTERRUPT=1"#, "`TRY_BLOCK_ERROR`"),
        (r#"for TRY_BLOCK_INTERRUPT in {{ item }}; do :; done"#, "`TRY_BLOCK_INTERRUPT`"),
        (r#"ZLE_RPROMPT_INDENT={{ item }}"#, "`ZLE_RPROMPT_INDENT`"),
    ] {
        let said = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
        assert!(said.contains(place) && !said.contains('\0'), "{command}: {said}");
    }
}

#[test]
fn a_program_that_starts_another_hides_none_of_its_code() {
    for command in [
        r#"sbatch --wrap="ls $N""#,
        r#"sbatch --wrap "ls $N""#,
        r#"srun python3 -c "x('$N')""#,
        r#"uv run python -c "print('$N')""#,
        r#"poetry run python -c "print('$N')""#,
        r#"pipenv run python -c "print('$N')""#,
        r#"conda run -n x python -c "print('$N')""#,
        r#"npx node -e "x('$N')""#,
        r#"systemd-run --user python3 -c "ls $N""#,
        r#"strace python3 -c "x('$N')""#,
        r#"perf stat python3 -c "x('$N')""#,
        r#"mpirun -n 2 python3 -c "x('$N')""#,
        r#"numactl -N 0 perl -e "x('$N')""#,
        r#"some-new-tool python3 -c "x('$N')""#,
        r#"runuser -u me -- sh -c "ls $N""#,
        r#"find . -exec sh -c "ls $N" \;"#,
        r#"tmux new-session "ls $N""#,
        r#"tmux new -d {{ item }}"#,
        r#"screen -X stuff "$N""#,
        r#"bsub "ls $N""#,
        r#"pdsh -w h "ls $N""#,
        r#"adb shell ls {{ item }}"#,
        r#"nix-shell --run "ls $N""#,
        r#"entr -s "ls $N""#,
        r#"xterm -e "ls $N""#,
        r#"capsh -- -c "ls $N""#,
        r#"tcsh -c "ls $N""#,
        r#"echo {{ item }} | ssh host"#,
        r#"echo {{ item }} | ssh host bash"#,
        r#"echo {{ item }} | docker exec -i c sh"#,
        r#"echo {{ item }} | crontab -"#,
    ] {
        assert!(refused(command).is_some(), "{command} was let pass");
    }
    for command in [
        r#"sbatch job.sh {{ item }}; srun ./x {{ item }}; uv run x.py {{ item }}; uv run python x.py -c {{ item }}"#,
        r#"uv run python -c 'import sys; print(sys.argv[1])' {{ item }}; conda install -y python -c https://host/{{ item }}"#,
        r#"grep -e perl -e x{{ item }} f; echo python -c "x $N"; tmux ls; adb push {{ item }} /x; tmux kill-session -t {{ item }}"#,
        r#"find . -name {{ item }} -exec gzip {} +; timeout 5 {{ item }} x; ssh -- {{ item }} < f; screen -ls"#,
    ] {
        assert_eq!(refused(command), None, "{command}");
    }
}

#[test]
fn a_value_as_an_option_that_takes_a_command_is_refused() {
    for command in [
        r#"gcc -wrapper {{ item }} a.c"#,
        r#"gcc-12 -wrapper {{ item }} a.c"#,
        r#"g++ -B{{ item }} a.c"#,
        r#"clang -fplugin={{ item }} a.c"#,
        r#"gcc -specs={{ item }} a.c"#,
        r#"rustc -C linker={{ item }} x.rs"#,
        r#"cargo --config {{ item }} build"#,
        r#"go build -toolexec {{ item }}"#,
        r#"npm --script-shell={{ item }} run x"#,
        r#"rg --pre {{ item }} x"#,
        r#"hg --config {{ item }} x"#,
        r#"svn --config-option {{ item }} x"#,
        r#"git --exec-path={{ item }} log"#,
        r#"git config alias.x {{ item }}"#,
        r#"git config core.pager "less $N""#,
        r#"git -C x -c user.name=y config --global core.editor {{ item }}"#,
        r#"git clone --config {{ item }} -- a b"#,
        r#"socat - "EXEC:$N""#,
        r#"socat - {{ item }}"#,
        r#"nc -e {{ item }} h 1"#,
        r#"lftp -e "get $N" h"#,
        r#"gcloud compute ssh h --command="ls $N""#,
        r#"vagrant ssh -c "ls $N""#,
        r#"ansible all -m shell -a "ls $N""#,
        r#"wget -e {{ item }} http://h"#,
        r#"less "+!$N" f"#,
        r#"tar --checkpoint-action exec={{ item }} -cf a b"#,
        r#"make SHELL={{ item }}"#,
        r#"flock f -c "ls $N""#,
        r#"script -c "ls $N" f"#,
    ] {
        assert!(refused(command).is_some(), "{command} was let pass");
    }
    for command in [
        r#"gcc -c {{ item }} -o {{ out }}/x.o; gcc -Wall -I{{ item }} a.c; cargo build --manifest-path {{ item }}"#,
        r#"git config user.name {{ item }}; git config remote.origin.url {{ item }}; go build -o {{ item }} ./x"#,
        r#"git -C {{ item }} config user.email {{ item }}; git add config {{ item }}; git log -- config {{ item }}"#,
        r#"nc -z {{ item }} 22; wget -O f -- {{ item }}; less {{ item }}; socat - TCP:h:{{ item }}; rg -- {{ item }}"#,
    ] {
        assert_eq!(refused(command), None, "{command}");
    }
}

#[test]
fn a_value_as_a_variable_by_which_programs_load_code_is_refused() {
    for command in [
        r#"LD_LIBRARY_PATH={{ item }} ls"#,
        r#"LD_PRELOAD={{ params.x }} ls"#,
        r#"PYTHONPATH={{ item }} python3 x.py"#,
        r#"export PYTHONHOME={{ item }}; python3 x.py"#,
        r#"export NODE_PATH="$N"; node x.js"#,
        r#"env PERL5LIB={{ item }} perl x.pl"#,
        r#"d={{ item }}; RUBYLIB="$d/lib" ruby x"#,
        r#"CLASSPATH={{ item }}:x java X"#,
        r#"PATH={{ item }}:$PATH ls"#,
        r#"PATH={{ params.bin }}:{{ item }} ls"#,
        r#"d={{ params.bin }}; d={{ item }}; PATH="$d" ls"#,
        r#"CC={{ item }} make"#,
        r#"AWS_PAGER={{ item }} aws s3 ls"#,
        r#"GIT_CONFIG_VALUE_0="$N" git log"#,
    ] {
        let said = refused(command).unwrap_or_else(|| panic!("{command} was let pass"));
        assert!(said.contains("programs run") || said.contains("look for code"), "{command}: {said}");
    }
    for command in [
        r#"PATH={{ params.bin }}:$PATH ls; b={{ params.bin }}; export PATH="$b:$PATH"; LD_LIBRARY_PATH={{ params.lib }} x"#,
        r#"PYTHONPATH={{ inputs.a.dir }}:{{ out }} python3 x.py {{ item }}; PATH=$(pwd)/bin:$PATH x; HOME={{ out }} x"#,
        r#"DATA={{ item }} x; CC={{ params.cc }} make; GIT_DIR={{ item }} git log; LDAP_HOST={{ item }} x"#,
    ] {
        assert_eq!(refused(command), None, "{command}");
    }
}

#[test]
fn a_value_inside_of_the_code_of_less_common_languages_is_refused() {
    for command in [
        r#"jq '.a == "'{{ item }}'"' x"#,
        r#"jq -r --arg a b ".x[\"$N\"]" f"#,
        r#"yq e ".a = \"$N\"" f"#,
        r#"duckdb a.db "select '$N'""#,
        r#"clickhouse-client --query "select '$N'""#,
        r#"mongosh --eval "x('$N')""#,
        r#"octave --eval "x('$N')""#,
        r#"matlab -batch "x('$N')""#,
        r#"groovy -e "x '$N'""#,
        r#"elixir -e "x $N""#,
        r#"erl -eval "x $N""#,
        r#"sbcl --eval "(x $N)""#,
        r#"guile -c "(x $N)""#,
        r#"deno eval "x('$N')""#,
        r#"pwsh -Command "x $N""#,
        r#"osascript -e "do $N""#,
        r#"tclsh <<< "puts $N""#,
        r#"ed -s f <<< "$N""#,
        r#"redis-cli eval "return '$N'" 0"#,
    ] {
        assert!(refused(command).is_some(), "{command} was let pass");
    }
    for command in [
        r#"jq -r .a {{ item }}; jq --arg x "a$N" '.[$x]' f; jq -n --argjson a 1 --arg b {{ item }} '{a: $a}'; jq {{ item }} f"#,
        r#"jq -f x.jq {{ item }}; yq -i .a {{ item }}; yq '.a' x-{{ item }}; duckdb {{ item }} 'select 1'; redis-cli get {{ item }}"#,
        r#"octave x.m {{ item }}; groovy x.groovy {{ item }}; deno run x.ts {{ item }}; tclsh x.tcl {{ item }}; pwsh x.ps1 {{ item }}"#,
    ] {
        assert_eq!(refused(command), None, "{command}");
    }
}

#[test]
fn what_a_hook_hears_of_its_group_is_a_value() {
    for command in [r#"eval "$WINDLASS_GROUP_REASONS""#, r#"sh -c "logger $WINDLASS_GROUP_NAME""#] {
        assert!(refused(command).is_some(), "{command} was let pass");
    }
    assert_eq!(refused(r#"logger "$WINDLASS_GROUP_REASONS" "$WINDLASS_GROUP_STATUS""#), None);
}
