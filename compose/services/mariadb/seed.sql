-- The contract's two tables, with PostgreSQL's values, in the database that the connection names.
create table world (id integer primary key, value integer not null);
insert into world (id, value) select seq, 10000 + (seq * 7919) % 90000 from seq_1_to_10000;
create table item (id integer auto_increment primary key, name text not null, price integer not null);
analyze table world;
