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
