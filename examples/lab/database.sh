#!/bin/sh
# MariaDB for the example pair, in the foreground: made where there is none yet (the first active node), then started.
# Small buffers, so that a crash finds pages on their way; all that a commit needs is flushed by the commit.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=$(dirname "$0")
home=/srv/db
run=/run/mariadb

# In a lab without root there is one user only.
user=mysql
setpriv --reuid=mysql --clear-groups true 2>/dev/null || user=root

mkdir -p "$run"
cp "$here/database.sql" "$run/init.sql" # where that user may read it
chown "$user" "$run" "$run/init.sql"

if [ ! -d "$home/data" ]; then
    rm -rf "$home/new"
    mkdir "$home/new"
    chown "$user" "$home/new"
    mariadb-install-db --no-defaults --datadir="$home/new" --user="$user" --skip-test-db \
        --auth-root-authentication-method=socket --innodb-log-file-size=8M >"$run/install.log" 2>&1
    mv "$home/new" "$home/data"
fi

exec mariadbd --no-defaults --datadir="$home/data" --user="$user" --socket="$run/sock" --pid-file="$run/pid" \
    --tmpdir="$run" --log-error="$run/error.log" --init-file="$run/init.sql" \
    --innodb-log-file-size=8M --innodb-buffer-pool-size=16M --innodb-flush-log-at-trx-commit=1
