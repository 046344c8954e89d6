# As the official image does with these variables: a database on the first start, the server ever after.
PATH=/pginstall/bin
data=/var/lib/postgresql/data
export LC_ALL=C
if [ ! -f "$data/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password -A scram-sha-256 --no-instructions --no-locale \
        --locale-provider=builtin --builtin-locale=C.UTF-8 --encoding=UTF8 || exit 1
    printf 'host all all all scram-sha-256\n' >>"$data/pg_hba.conf"
    printf 'CREATE DATABASE "%s"\n' "$POSTGRES_DB" | postgres --single -D "$data" template1 || exit 1
fi
exec postgres -D "$data" -k /var/run/postgresql -c 'listen_addresses=*' "$@"
