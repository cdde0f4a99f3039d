import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Platform } from '../platform';
import { writeArchive } from './archive';
import type { Image } from './image';
import { readRecord, writeRecord } from './record-file';

const platform: Platform = { os: 'linux', architecture: 'amd64' };
const small: Image = {
  platform,
  config: { Cmd: ['/hello'] },
  layers: [{ entries: [{ type: 'file', path: 'motd', mode: 0o644, uid: 0, gid: 0, content: Buffer.from('hi\n') }] }],
  history: [{ created_by: 'COPY motd /' }],
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'slim-go-record-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function write(image: Image, name: string) {
  const file = join(folder, name, 'image.tar');
  const options = { images: [image], references: ['hello'], file, hostPlatform: platform, createdSeconds: 0 };
  return { file, record: await writeArchive(options) };
}

describe('image.json', () => {
  async function pair(name: string) {
    const { file, record } = await write(small, name);
    const json = join(folder, name, 'image.json');
    await writeRecord(json, record);
    return { file, json, record };
  }

  it('is read as it was written, the same bytes each time', async () => {
    const { file, json, record } = await pair('record');
    expect(await readRecord(json, file)).toEqual(record);
    const before = readFileSync(json, 'utf8');
    await writeRecord(json, JSON.parse(JSON.stringify(record)));
    expect(readFileSync(json, 'utf8')).toBe(before);
  });

  it('is refused beside the archive of another run, a cut-off one, or none', async () => {
    const { file, json, record } = await pair('mixed');
    await write({ ...small, author: 'somebody' }, 'mixed');
    await expect(readRecord(json, file)).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: `${file} doesn't hold the image that image.json speaks of, ${record.platforms[0]!.manifestDigest}.`,
      hint: expect.stringContaining('Run the image target again'),
    });
    await write(small, 'mixed');
    await readRecord(json, file);
    for (const bytes of [1, 512, 1024, 2000]) {
      truncateSync(file, statSync(file).size - bytes);
      await expect(readRecord(json, file)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
      await write(small, 'mixed');
    }
    rmSync(file);
    await expect(readRecord(json, file)).rejects.toMatchObject({ message: `${file} can't be read (ENOENT).` });
  });

  it.each([
    ['nothing', undefined, 'ENOENT'],
    ['half of it', '{"references": ["a"', 'JSON'],
    ['no object', 'null', 'it holds no object'],
    ['no platforms', '{"references": [], "platforms": []}', '"platforms" is missing or wrong'],
    ['a platform that is null', '{"references": [], "platforms": [null]}', '"platforms[0].platform"'],
    [
      'a wrong digest',
      '{"references":[],"platforms":[{"platform":"linux/amd64","imageId":"x"}]}',
      'platforms[0].imageId',
    ],
  ])('is refused when it holds %s', async (_what, content, message) => {
    const json = join(folder, 'wrong.json');
    rmSync(json, { force: true });
    if (content !== undefined) writeFileSync(json, content);
    await expect(readRecord(json, join(folder, 'image.tar'))).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining(message),
    });
  });
});
