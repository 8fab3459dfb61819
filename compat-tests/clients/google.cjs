// An S3 server for Google's client: what it sends as authorization is not looked at.
// node google.cjs PORT FOLDER BUCKET
const S3rver = require('s3rver');
const [port, directory, name] = process.argv.slice(2);
const server = new S3rver({ address: '127.0.0.1', port: Number(port), silent: true, directory, configureBuckets: [{ name }] });
server.middleware.unshift((request, next) => {
    delete request.headers.authorization;
    return next();
});
server.run();
