import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Described {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
}

const read = (...path: string[]) => JSON.parse(readFileSync(join(__dirname, ...path), 'utf8'));

/** What an editor, `nx run x:y --help` and the README show: nobody is to meet an option that says nothing of itself. */
describe.each(['executors', 'generators'])('every one of the %s', (kind) => {
  const entries: Readonly<Record<string, Described & { readonly schema: string }>> = read(`${kind}.json`)[kind];

  it('is listed where it has a schema', () => {
    const folders = readdirSync(join(__dirname, kind)).filter((name) =>
      existsSync(join(__dirname, kind, name, 'schema.json')),
    );
    expect(Object.keys(entries).sort()).toEqual(folders.sort());
  });

  it.each(Object.entries(entries))('says what it and each of its options is: %s', (_, entry) => {
    const schema: Described = read(entry.schema);
    expect([entry.description, schema.description].filter((text) => !text)).toEqual([]);
    expect(undescribed(schema)).toEqual([]);
  });
});

function undescribed({ properties = {} }: Described): readonly string[] {
  return Object.entries(properties).flatMap(([name, option]) => [
    ...(/^\S+ .*\.$/s.test(option.description ?? '') ? [] : [name]),
    ...undescribed(option),
  ]);
}
