-- The contract's one table, in whatever schema the connection's search_path names first.
create table world (id integer primary key, value integer not null);
insert into world (id, value) select id, 10000 + (id * 7919) % 90000 from generate_series(1, 10000) as id;
analyze world;
