// A session of the npm package dicomweb-client with an archive: store, search, retrieve, render.
// node client.mjs ROOT FILE ... ; prints what came back as one JSON object.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import XMLHttpRequest from 'xhr2';
import dicomweb from 'dicomweb-client';

globalThis.XMLHttpRequest = XMLHttpRequest; // which browsers have
const [root, ...files] = process.argv.slice(2);
const client = new dicomweb.api.DICOMwebClient({ url: root });
const digest = (buffer) => createHash('sha256').update(Buffer.from(buffer)).digest('hex');
const value = (item, tag) => item[tag]?.Value?.[0];

const datasets = files.map((file) => Uint8Array.from(readFileSync(file)).buffer);
const stored = await client.storeInstances({ datasets });

const studies = await client.searchForStudies({ queryParams: { includefield: '00081030' } });
const found = [];
for (const study of studies) {
  const studyInstanceUID = value(study, '0020000D');
  const series = await client.searchForSeries({ studyInstanceUID });
  for (const one of series) {
    const seriesInstanceUID = value(one, '0020000E');
    const within = { studyInstanceUID, seriesInstanceUID };
    const instances = await client.searchForInstances(within);
    const seriesMetadata = await client.retrieveSeriesMetadata(within);
    const wholeSeries = await client.retrieveSeries(within);
    for (const instance of instances) {
      const which = { ...within, sopInstanceUID: value(instance, '00080018') };
      const [metadata] = await client.retrieveInstanceMetadata(which);
      const whole = await client.retrieveInstance(which);
      const frames = await client.retrieveInstanceFrames({ ...which, frameNumbers: [1] });
      const compressed = await client.retrieveInstanceFrames({
        ...which,
        frameNumbers: [1],
        mediaTypes: [{ mediaType: 'image/jls', transferSyntaxUID: '1.2.840.10008.1.2.4.80' }],
      });
      const bulk = await client.retrieveBulkData({ BulkDataURI: metadata['7FE00010'].BulkDataURI });
      const rendered = await client.retrieveInstanceRendered({
        ...which,
        mediaTypes: [{ mediaType: 'image/png' }],
        queryParams: { viewport: [64, 64] },
      });
      const picture = await client.retrieveInstanceFramesRendered({
        ...which,
        frameNumbers: [1],
        mediaTypes: [{ mediaType: 'image/jpeg' }],
      });
      const thumbnail = await client.retrieveInstanceThumbnail(which);
      found.push({
        uid: which.sopInstanceUID,
        name: value(metadata, '00100010').Alphabetic,
        whole: digest(whole),
        frame: digest(frames[0]),
        bulk: digest(bulk[0]),
        compressed: Buffer.from(compressed[0]).toString('base64'),
        heads: [rendered, picture, thumbnail].map((one) =>
          Buffer.from(Array.isArray(one) ? one[0] : one).subarray(0, 4).toString('hex'),
        ),
        inSeries: wholeSeries.length,
        inSeriesMetadata: seriesMetadata.length,
      });
    }
  }
}
const none = await client.searchForStudies({ queryParams: { PatientID: 'nobody of that name' } });
let refusal = 0;
try {
  await client.retrieveStudyMetadata({ studyInstanceUID: '1.2.3' });
} catch (error) {
  refusal = error.status;
}
console.log(JSON.stringify({ stored, studies: studies.length, found, none, refusal }));
