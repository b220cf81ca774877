-- The contract's two tables, in whatever schema the connection's search_path names first.
create table world (id integer primary key, value integer not null);
insert into world (id, value) select id, 10000 + (id * 7919) % 90000 from generate_series(1, 10000) as id;
create table item (id integer generated always as identity primary key, name text not null, price integer not null);
analyze world;
