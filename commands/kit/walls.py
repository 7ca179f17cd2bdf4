"""The wall between clinics around tables of the house's own, which are no read models: the owner sees all of them, a gateway reads its own clinic's lines."""

WALL = """do $$ declare t text; begin
    foreach t in array array[TABLES] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('drop policy if exists owner on %I', t);
        execute format('create policy owner on %I to anamnesis_owner using (true) with check (true)', t);
        execute format('drop policy if exists tenant on %I', t);
        execute format('create policy tenant on %I for select to anamnesis_gateway using '
            '(clinic_id = (select nullif(current_setting(''app.clinic'', true), '''')::uuid))', t);
    end loop;
end $$;
"""


def walled(*tables: str) -> str:
    """Return the SQL that puts the wall up around these tables, or finds it there."""
    return WALL.replace("TABLES", ", ".join(f"'{table}'" for table in tables))
